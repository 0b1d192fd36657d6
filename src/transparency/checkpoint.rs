//! Checkpoints and signed tree heads.

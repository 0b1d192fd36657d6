//! The harness: a CA on loopback with a make-believe GitLab beside it.

//! Reading certificates back: what `inspect` and `verify` show.

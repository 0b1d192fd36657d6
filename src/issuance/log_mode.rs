//! Where certificates are recorded, as the operator chose.

use super::CertificateLog;
use crate::log::CtLog;
use std::sync::Arc;

/// `log.mode`.
pub enum LogMode {
    /// In our own log: the precertificate goes in, its SCT into the certificate.
    Embedded(Arc<CtLog>),
    /// In somebody else's log.
    External {
        /// The log.
        log: Arc<dyn CertificateLog>,
        /// Whether it gets the precertificate, and its SCT goes into the certificate. Otherwise it gets the certificate, and
        /// the SCT is delivered beside that.
        precertificates: bool,
    },
    /// Nowhere.
    None,
}

impl LogMode {
    /// Our own log, if there is one.
    pub const fn own(&self) -> Option<&Arc<CtLog>> {
        match self {
            Self::Embedded(log) => Some(log),
            Self::External { .. } | Self::None => None,
        }
    }

    /// Whether a certificate could be recorded now. Where none is, it always could.
    ///
    /// # Errors
    /// Why not, in words for the operator.
    pub fn health(&self) -> Result<(), String> {
        match self {
            Self::Embedded(log) => log.health(),
            Self::External { log, .. } => log.health(),
            Self::None => Ok(()),
        }
    }
}

/// What a caller learns of the certificate's SCT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SctDelivery {
    /// It is in the certificate.
    Embedded,
    /// It goes beside the certificate: the log's answer as JSON (RFC 6962 §4.1, AddChainResponse).
    Detached(Vec<u8>),
    /// There is none: no log has the certificate.
    None,
}

//! A token on its way out: if nobody takes it, it is revoked.

use super::error::Told;
use crate::broker::{Code, LeaseId, Refused, TokenRequest};
use crate::leasing::{Broker, Handed};
use axum::body::{Body, Bytes};
use http_body_util::Full;
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use zeroize::Zeroizing;

/// A token that was made, and that nobody has yet.
pub struct Delivery {
    handed: Handed,
    undelivered: Undelivered,
}

/// Revokes its lease when it is dropped before it is disarmed.
struct Undelivered {
    broker: Arc<Broker>,
    lease: Option<LeaseId>,
}

/// Exchanges in a task of its own: whoever hangs up meanwhile does not stop it between the token and its record.
pub async fn hand_over(
    broker: Arc<Broker>,
    id_token: String,
    request: TokenRequest,
) -> Result<Delivery, Told> {
    let id_token = Zeroizing::new(id_token);
    let exchange = tokio::spawn(async move {
        let handed = broker.exchange(&id_token, &request).await?;
        let lease = Some(handed.lease.id);
        Ok::<_, Refused>(Delivery { handed, undelivered: Undelivered { broker, lease } })
    });
    // An error: it panicked, and the lease's intent is reconciled.
    Ok(exchange.await.map_err(|_| Refused::new(Code::StoreUnavailable))??)
}

impl Delivery {
    /// The lease and the token.
    pub const fn handed(&self) -> &Handed {
        &self.handed
    }

    /// This text, which has the token in it, as a body. Its octets once taken by the connection, the token counts as delivered.
    pub fn into_body(self, text: String) -> Body {
        Body::new(Taken { text: Full::new(Bytes::from(text)), undelivered: self.undelivered })
    }
}

/// A body that knows whether anybody took it.
struct Taken {
    text: Full<Bytes>,
    undelivered: Undelivered,
}

impl hyper::body::Body for Taken {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.text).poll_frame(context);
        self.undelivered.lease = None;
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.text.size_hint()
    }
}

impl Drop for Undelivered {
    fn drop(&mut self) {
        let Some(lease) = self.lease else { return };
        let broker = self.broker.clone();
        // An error: the runtime ends, and the lease with the deadline stays in the store.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { broker.not_delivered(lease).await });
        }
    }
}

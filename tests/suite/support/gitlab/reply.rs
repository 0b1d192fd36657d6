//! Answers in GitLab's words, with its statuses and its pagination.

use super::ask::Ask;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};

/// What GitLab answers.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Reply {
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".into())];
        Self { status, headers, body: body.to_string() }
    }

    pub fn ok(body: &Value) -> Self {
        Self::json(200, body)
    }

    pub fn created(body: &Value) -> Self {
        Self::json(201, body)
    }

    pub fn no_content() -> Self {
        Self { status: 204, headers: Vec::new(), body: String::new() }
    }

    /// `{"message": …}`, what GitLab's own code says.
    pub fn message(status: u16, message: impl Into<Value>) -> Self {
        Self::json(status, &json!({ "message": message.into() }))
    }

    /// `{"error": …}`, what its framework says of parameters and paths.
    pub fn error(status: u16, error: &str) -> Self {
        Self::json(status, &json!({ "error": error }))
    }

    pub fn unauthorized() -> Self {
        Self::message(401, "401 Unauthorized")
    }

    pub fn forbidden() -> Self {
        Self::message(403, "403 Forbidden")
    }

    pub fn not_found(what: &str) -> Self {
        Self::message(404, format!("404 {what} Not Found"))
    }

    pub fn no_such_route() -> Self {
        Self::error(404, "404 Not Found")
    }

    pub fn invalid_token(description: &str) -> Self {
        Self::json(401, &json!({ "error": "invalid_token", "error_description": description }))
    }

    pub fn insufficient_scope(scope: &str) -> Self {
        let description = "The request requires higher privileges than provided by the access token.";
        Self::json(
            403,
            &json!({ "error": "insufficient_scope", "error_description": description, "scope": scope }),
        )
    }

    /// One page of a list, twenty at a time unless `per_page` says otherwise, a hundred at most.
    pub fn page(ask: &Ask, base: &str, items: Vec<Value>) -> Self {
        let number = |name, default| ask.text(name).and_then(|text| text.parse().ok()).unwrap_or(default);
        let (page, per_page) = (number("page", 1usize).max(1), number("per_page", 20usize).clamp(1, 100));
        let (total, pages) = (items.len(), items.len().div_ceil(per_page).max(1));
        let shown: Vec<_> = items.into_iter().skip((page - 1) * per_page).take(per_page).collect();
        let path = ask.uri.split('?').next().unwrap_or_default();
        let link =
            |to: usize, rel: &str| format!("<{base}{path}?page={to}&per_page={per_page}>; rel=\"{rel}\"");
        let mut links = vec![link(1, "first"), link(pages, "last")];
        let next = (page < pages).then_some(page + 1);
        links.extend(next.map(|next| link(next, "next")));
        let mut reply = Self::ok(&Value::Array(shown));
        reply.headers.extend([
            ("link", links.join(", ")),
            ("x-page", page.to_string()),
            ("x-per-page", per_page.to_string()),
            ("x-next-page", next.map(|next| next.to_string()).unwrap_or_default()),
            ("x-prev-page", if page > 1 { (page - 1).to_string() } else { String::new() }),
            ("x-total", total.to_string()),
            ("x-total-pages", pages.to_string()),
        ]);
        reply
    }

    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::builder().status(StatusCode::from_u16(self.status).expect("a status"));
        for (name, value) in &self.headers {
            response = response.header(*name, value);
        }
        response.body(Body::from(self.body)).expect("a response")
    }
}

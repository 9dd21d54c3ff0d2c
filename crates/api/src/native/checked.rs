//! Calls whose answers are checked against the contract.

use http::{Method, StatusCode};
use serde_json::Value;
use testkit::contract::{Contract, Observed};

use crate::testing::{Reply, TestApp};

impl TestApp {
    /// Sends a request and holds the answer against the contract.
    pub(crate) async fn checked(&self, token: &str, method: Method, path: &str, body: Value) -> Reply {
        let reply = self.call(token, method.as_str(), path, body).await;
        let observed = Observed {
            method: method.as_str(),
            path: path.split('?').next().unwrap_or_default(),
            status: reply.status.as_u16(),
            headers: &reply.headers,
            body: reply.text.as_bytes(),
        };
        let violations = Contract::load().check(&observed, &[]);
        assert_eq!(violations, Ok(()), "{method} {path}: {}", reply.text);
        reply
    }

    /// Sends a request that is to be refused, and returns status, code and param.
    pub(crate) async fn refused(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> (u16, String, String) {
        let reply = self.checked(token, method, path, body).await;
        assert_ne!(reply.status, StatusCode::OK, "{}", reply.text);
        let param = reply.body["error"]["param"].as_str().unwrap_or_default().to_owned();
        (reply.status.as_u16(), reply.code().to_owned(), param)
    }
}

//! The server on a free port over a world in memory.

use std::sync::Arc;

use reqwest::{Method, RequestBuilder, Response};
use runner_api::TaskId;
use serde_json::Value;
use tempfile::TempDir;

use crate::world::World;

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

pub(crate) struct Served {
    pub(crate) address: std::net::SocketAddr,
    http: reqwest::Client,
    logs: TempDir,
}

fn commanded() -> server::Config {
    server::Config {
        logs: None,
        cloud: None,
        admin: Some(server::Admin {
            token: TOKEN.to_owned(),
            place: "/srv/example/secrets/admin.token on the control plane's machine".to_owned(),
        }),
        published_at: None,
        forge: None,
    }
}

impl Served {
    pub(crate) async fn new(world: &World) -> Self {
        let logs = tempfile::tempdir().expect("a directory");
        let config = server::Config {
            logs: Some(logs.path().to_owned()),
            ..commanded()
        };
        Self::open(server::router(Arc::new(world.another()), config), logs).await
    }

    /// Where no disk lasts.
    pub(crate) async fn without_logs(world: &World) -> Self {
        let logs = tempfile::tempdir().expect("a directory");
        let router = server::router(Arc::new(world.another()), commanded());
        Self::open(router, logs).await
    }

    /// Where large files have an address of their own.
    pub(crate) async fn published_at(world: &World, address: &str) -> Self {
        let logs = tempfile::tempdir().expect("a directory");
        let config = server::Config {
            published_at: Some(address.to_owned()),
            ..commanded()
        };
        Self::open(server::router(Arc::new(world.another()), config), logs).await
    }

    /// As the function that answers questions is.
    pub(crate) async fn reading(world: &World) -> Self {
        let logs = tempfile::tempdir().expect("a directory");
        let config = server::Config {
            admin: None,
            ..commanded()
        };
        Self::open(server::reading(Arc::new(world.another()), config), logs).await
    }

    async fn open(router: axum::Router, logs: TempDir) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .expect("a client"),
            logs,
        }
    }

    pub(crate) fn call(&self, method: &str, path: &str) -> RequestBuilder {
        let method: Method = method.parse().expect("a method");
        self.http
            .request(method, format!("http://{}{path}", self.address))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.call("GET", path).send().await.expect("it answers")
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        self.get(path).await.text().await.expect("text")
    }

    /// Status code and the error's sentence.
    pub(crate) async fn refused(&self, call: RequestBuilder) -> (u16, String) {
        let response = call.send().await.expect("it answers");
        let status = response.status().as_u16();
        let text = response.text().await.expect("text");
        let body: Value = serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{status} without an error in JSON: {text:?}"));
        let sentence = body["error"].as_str().expect("a sentence");
        (status, sentence.to_owned())
    }

    /// What a runner would have sent.
    pub(crate) fn write_log(&self, task: &TaskId, attempt: u32, text: &[u8]) {
        let path = self.logs.path().join(format!("{task}-{attempt}.log"));
        std::fs::write(path, text).expect("a log");
    }
}

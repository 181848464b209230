//! One request: where it stands, why, and all of its tasks.

use std::sync::Arc;

use axum::extract::{Path, State as Shared};
use axum::response::Response;
use control::{StatusFile, StatusTask};
use ports::Platform;

use super::html::{escape, page, priority, short};
use super::{name, of_note, of_problem, refusal, rows, said};
use crate::api::find_request;
use crate::{Error, State};

pub(crate) async fn request<P: Platform>(
    Shared(state): Shared<Arc<State<P>>>,
    Path(path): Path<String>,
) -> Response {
    match show(&state, &path).await {
        Ok(page) => page,
        Err(error) => refusal(&state, &error).await,
    }
}

async fn show<P: Platform>(state: &State<P>, path: &str) -> Result<Response, Error> {
    let file = find_request(state, path).await?;
    let path = file.request.as_str();
    let aside = format!("commit <code>{}</code>", short(&file.commit));
    Ok(page(&name(state).await, path, &aside, &body(&file)))
}

fn body(file: &StatusFile) -> String {
    let mut html = format!(
        "<h2><span class=\"state {0}\">{0}</span> <code>{1}</code>{2}</h2>\n",
        escape(&file.phase),
        escape(file.request.as_str()),
        priority(file.priority)
    );
    html.push_str(&said("problem", file.problems.iter().map(of_problem)));
    html.push_str(&said("dim", file.notes.iter().map(of_note)));
    let tasks: Vec<&StatusTask> = file.tasks.iter().collect();
    html.push_str(match tasks.as_slice() {
        [] => "<p class=dim>It has no tasks.</p>\n",
        _ => "",
    });
    html.push_str(&rows(&tasks, &file.tasks));
    html
}

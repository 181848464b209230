//! Why a delivery is not taken.

/// Each has a status of HTTP, and a sentence for whoever set the webhook up: forges show it beside the delivery.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Its headers carry no signature.
    #[error("the delivery has no signature: give the webhook the secret that Millrace has")]
    NoSignature,
    /// It is signed by somebody else, or was changed on its way.
    #[error(
        "the delivery is not signed with a secret that is known here: give the webhook the secret that Millrace has"
    )]
    NotSigned,
    /// No forge sends as much.
    #[error("the delivery is larger than 25 MiB: no forge sends that much")]
    TooLarge,
    /// Its body is no JSON by its own word.
    #[error(
        "the delivery is of the content type `{found}`, and not application/json: choose that in the settings of the webhook"
    )]
    ContentType {
        /// What it says, or nothing.
        found: String,
    },
    /// A header is missing, empty or longer than any forge's.
    #[error(
        "the header {name} is missing or wrong: let the webhook be called by GitHub or Gitea themselves, and let no proxy remove it"
    )]
    Header {
        /// Which.
        name: &'static str,
    },
    /// A header is there twice, or is no text: whoever stands between might have read another one than we.
    #[error(
        "the header {name} is there twice or is no ASCII: let the webhook be called by GitHub or Gitea themselves, and let no proxy change it"
    )]
    Doubtful {
        /// Which.
        name: &'static str,
    },
    /// Its body is no text.
    #[error(
        "the body is no UTF-8 from byte {at} on: send it as the forge made it, without compression"
    )]
    NotText {
        /// The first byte that is none, from 0.
        at: usize,
    },
    /// Its body ends early, is nested without end, or is something else.
    #[error(
        "the body is no JSON object that can be read: {cause}. Deliver it again from the settings of the webhook"
    )]
    NotJson {
        /// Where, and why.
        cause: String,
    },
    /// An event that matters lacks what says where to look.
    #[error(
        "the event `{event}` has no `{field}` that is {needs}: report it, with the version of the forge"
    )]
    Lacks {
        /// What the forge calls it.
        event: String,
        /// Where it should be.
        field: String,
        /// What it should be.
        needs: &'static str,
    },
}

impl Refusal {
    /// Of HTTP. None is the forge's to try again: it would send the same.
    pub fn status(&self) -> u16 {
        match self {
            Self::NoSignature | Self::NotSigned => 401,
            Self::TooLarge => 413,
            Self::ContentType { .. } => 415,
            Self::Header { .. }
            | Self::Doubtful { .. }
            | Self::NotText { .. }
            | Self::NotJson { .. } => 400,
            Self::Lacks { .. } => 422,
        }
    }
}

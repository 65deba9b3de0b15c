/// Why a definition cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    #[error(
        "the definition is no state machine of the part of the language that is understood here: {0}"
    )]
    Json(#[from] serde_json::Error),
}

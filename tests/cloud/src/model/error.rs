//! AWS's errors, by their codes.
//! <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/CommonErrors.html>
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/CommonErrors.html>

/// What a refused request is answered with. The code is AWS's own; the message says what is wrong with what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Error {
    pub code: &'static str,
    pub message: String,
    /// The HTTP status.
    pub status: u16,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            status: 400,
        }
    }

    pub fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationError", message)
    }

    /// A thing that AWS can do and this model cannot: refused, so that nobody takes it for done.
    pub fn not_modelled(what: impl std::fmt::Display) -> Self {
        Self::new(
            "UnsupportedOperation",
            format!("{what} is not modelled by this local AWS"),
        )
    }
}

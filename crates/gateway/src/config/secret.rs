//! A secret of the operator's: wiped when dropped, never shown.

use std::{env, fmt, fs};

use zeroize::Zeroizing;

/// Text that must appear in no log, error or debug print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Finds the secret of a name, or says why there is none.
pub type SecretCalled = fn(&str) -> Result<Secret, String>;

/// The secret an operator's row names: of the variable of that name or, with `_FILE` added, of a file. Only names that
/// begin with `UPSTREAM_` are looked up, so that no row can have any other secret of this process sent somewhere.
#[expect(clippy::disallowed_methods, reason = "these variables are named by rows, so clap cannot know them")]
pub(super) fn secret_called(name: &str) -> Result<Secret, String> {
    if !name.starts_with("UPSTREAM_") {
        return Err(format!("{name} does not begin with UPSTREAM_"));
    }
    let text = match (env::var(name), env::var(format!("{name}_FILE"))) {
        (Ok(text), _) if !text.is_empty() => text,
        (_, Ok(file)) if !file.is_empty() => fs::read_to_string(&file)
            .map_err(|error| format!("{name}_FILE: {file} cannot be read: {error}"))?,
        _ => return Err(format!("neither {name} nor {name}_FILE is set")),
    };
    let text = text.trim();
    if text.is_empty() { Err(format!("{name} is empty")) } else { Ok(Secret::new(text.to_owned())) }
}

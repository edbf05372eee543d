//! The secrets of a development machine: made once, kept in `.latchkey/secrets` where only we can read them.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::place::{Place, write_secret};

/// One development machine's secrets, each 64 hexadecimal digits.
#[derive(Clone)]
pub struct Secrets {
    pub secret_key: String,
    pub key_pepper: String,
    /// The private cluster's password, for every role: on a shared machine its port is open to other users.
    pub database: String,
    /// What the gateway shows the demo upstream.
    pub upstream: String,
}

impl Secrets {
    pub fn load_or_make(place: &Place) -> Result<Self> {
        let path = place.private.join("secrets");
        Self::read(&path).map_or_else(|| Self::make(&path), Ok)
    }

    fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let value = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once('='));
            lines.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
        };
        Some(Self {
            secret_key: value("SECRET_KEY")?,
            key_pepper: value("KEY_PEPPER")?,
            database: value("DATABASE_PASSWORD")?,
            upstream: value("UPSTREAM_API_KEY")?,
        })
    }

    fn make(path: &Path) -> Result<Self> {
        let made =
            Self { secret_key: random()?, key_pepper: random()?, database: random()?, upstream: random()? };
        let text = format!(
            "# Made once by cargo xtask for this machine; never use them elsewhere.\nSECRET_KEY={}\nKEY_PEPPER={}\n\
             DATABASE_PASSWORD={}\nUPSTREAM_API_KEY={}\n",
            made.secret_key, made.key_pepper, made.database, made.upstream
        );
        write_secret(path, &text)?;
        Ok(made)
    }
}

/// 256 random bits as hexadecimal digits.
fn random() -> Result<String> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).context("the operating system gives no random numbers")?;
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    Ok(digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect())
}

//! The size gate: what a browser downloads for the first page, in the form it travels in.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::report::Report;

/// JavaScript, WASM and CSS of a first visit, in bytes as compressed by brotli.
const LIMIT_BYTES: u64 = 180_000;
const KINDS: [&str; 3] = ["js", "wasm", "css"];

/// Prints the figures; fails above the limit.
pub fn check(site: &Path, report: Report) -> Result<()> {
    let parts = parts(&site.join("pkg"))?;
    let mut total = 0;
    for part in &parts {
        total += part.brotli;
        report.say(format_args!("  {:>9} brotli {:>9} raw  {}", kb(part.brotli), kb(part.raw), part.name));
    }
    report.say(format_args!("  {:>9} in all, limit {}", kb(total), kb(LIMIT_BYTES)));
    judge(total, &parts)
}

#[derive(Debug, PartialEq, Eq)]
struct Part {
    name: String,
    raw: u64,
    brotli: u64,
}

/// Everything in the package folder: islands load from there and nowhere else.
fn parts(folder: &Path) -> Result<Vec<Part>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let files: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    let shipped = files.into_iter().filter(|file| kind(file).is_some_and(|kind| KINDS.contains(&kind)));
    let mut parts = shipped.map(|file| part(&file)).collect::<Result<Vec<_>>>()?;
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(parts)
}

fn part(file: &Path) -> Result<Part> {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let compressed = file.with_file_name(format!("{name}.br"));
    let brotli = fs::metadata(&compressed).with_context(|| format!("{name} was not compressed"))?.len();
    Ok(Part { raw: fs::metadata(file)?.len(), brotli, name })
}

fn judge(total: u64, parts: &[Part]) -> Result<()> {
    for wanted in KINDS {
        if !parts.iter().any(|part| kind(Path::new(&part.name)) == Some(wanted)) {
            bail!("the build has no .{wanted} file, so its size says nothing");
        }
    }
    if total > LIMIT_BYTES {
        bail!("the first load is {}, more than {}", kb(total), kb(LIMIT_BYTES));
    }
    Ok(())
}

fn kind(file: &Path) -> Option<&str> {
    file.extension().and_then(|kind| kind.to_str())
}

/// Thousands of bytes, one decimal.
fn kb(bytes: u64) -> String {
    format!("{}.{} kB", bytes / 1000, bytes % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, brotli: u64) -> Part {
        Part { name: name.to_owned(), raw: brotli * 3, brotli }
    }

    #[test]
    fn the_limit_is_for_the_sum() {
        let parts = [part("a.js", 10_000), part("a.wasm", 150_000), part("a.css", 20_000)];
        judge(180_000, &parts).unwrap();
        assert!(judge(180_001, &parts).unwrap_err().to_string().contains("180.0 kB"));
    }

    #[test]
    fn a_build_that_lacks_a_part_does_not_pass() {
        assert!(judge(10, &[part("a.js", 5), part("a.css", 5)]).unwrap_err().to_string().contains(".wasm"));
    }

    #[test]
    fn sizes_are_summed_from_the_compressed_files() {
        let folder = std::env::temp_dir().join(format!("latchkey-size-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, size) in [("a.js", 30), ("a.js.br", 10), ("a.js.gz", 12), ("hash.txt", 9)] {
            fs::write(folder.join(name), vec![0; size]).unwrap();
        }
        let found = parts(&folder);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found.unwrap(), [Part { name: "a.js".to_owned(), raw: 30, brotli: 10 }]);
    }
}

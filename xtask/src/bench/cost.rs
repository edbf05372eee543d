//! What a process and its children have taken of the machine, as the kernel counts it.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// CPU time of a process, of its children, and of children that have ended.
pub fn cpu(pid: u32) -> Result<Duration> {
    let own = stat(pid)?;
    let children = children(pid)?.into_iter().filter_map(|child| stat(child).ok());
    let ticks = own.used + own.used_by_ended_children + children.map(|child| child.used).sum::<u64>();
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_millis(ticks * 1_000 / per_second.max(1)))
}

/// Memory of a process and its children in kB, shared pages by their share.
pub fn memory(pid: u32) -> Result<u64> {
    let all = children(pid)?.into_iter().chain([pid]);
    Ok(all.filter_map(|pid| pss(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?)).sum())
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// In clock ticks.
    used: u64,
    used_by_ended_children: u64,
}

fn stat(pid: u32) -> Result<Stat> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    parse(&text).with_context(|| format!("{path} has another form"))
}

/// The program's name, in parentheses, may hold anything; what counts stands behind it.
fn parse(text: &str) -> Option<Stat> {
    let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        used: number(11)? + number(12)?,
        used_by_ended_children: number(13)? + number(14)?,
    })
}

/// The processes that a process has started.
pub fn children(pid: u32) -> Result<Vec<u32>> {
    let entries = fs::read_dir("/proc").context("this needs Linux's /proc")?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.filter(|child| stat(*child).is_ok_and(|stat| stat.parent == pid)).collect())
}

fn pss(rollup: &str) -> Option<u64> {
    rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let line = "12 (a (b) c) S 7 12 12 0 -1 4194560 100 0 0 0 30 12 3 4 20 0 1 0 100 1000 10";
        assert_eq!(parse(line).unwrap(), Stat { parent: 7, used: 42, used_by_ended_children: 7 });
        assert_eq!(pss("ab-cd r\nRss:  9 kB\nPss:            1234 kB\nPss_Dirty: 5 kB\n"), Some(1234));
    }

    #[test]
    fn our_own_cost_is_known() {
        let pid = std::process::id();
        assert!(memory(pid).unwrap() > 0);
        assert!(cpu(pid).unwrap() < Duration::from_hours(1));
    }
}

//! The tables: one of what requests cost, one of how long they take.

use super::{
    case::{Case, Pace, Target},
    measure::Measurement,
    results::{Cell, Times, compared, median},
};

const NONE: &str = "–";

/// CPU and memory, from the loads that leave nobody idle.
pub fn costs(of: &Measurement) -> String {
    let head = [
        "load",
        "target",
        "CPU ms per 1 000",
        "x floor",
        "x nginx",
        "x direct",
        "Postgres ms per 1 000",
        "with Postgres x floor",
        "a second",
        "MB",
    ];
    let rows = rows(of, |pace| pace == Pace::Closed);
    table(&head, &rows.map(|(case, target)| cost(of, case, target)).collect::<Vec<_>>())
}

/// Times, from the loads at a fixed rate.
pub fn times(of: &Measurement) -> String {
    let head = [
        "load",
        "target",
        "p50 ms",
        "p99 ms",
        "added p50",
        "added p99",
        "first byte p50",
        "added",
        "longest gap p99",
        "added",
        "longest way p99",
        "frames merged",
    ];
    let rows = rows(of, |pace| pace != Pace::Closed);
    table(&head, &rows.map(|(case, target)| time(of, case, target)).collect::<Vec<_>>())
}

/// Which rows there are, in the order of cases.
fn rows(of: &Measurement, wanted: impl Fn(Pace) -> bool) -> impl Iterator<Item = (Case, Target)> {
    let cases = Case::ALL.into_iter().filter(move |case| wanted(case.pace()));
    cases.flat_map(move |case| {
        of.targets.iter().copied().filter(move |target| target.runs(case)).map(move |target| (case, target))
    })
}

fn cost(of: &Measurement, case: Case, target: Target) -> Vec<String> {
    let here = (case, target);
    let ratio = |other, what: fn(&Cell) -> f64| {
        let ratio = compared(&of.rounds, here, (case.compared_with(), other), |one, other| {
            what(one) / other.cpu_per_1000()
        });
        number(ratio.filter(|_| other != target), 2)
    };
    let value = |what: fn(&Cell) -> f64, digits| number(median(&of.rounds, case, target, what), digits);
    let is_gateway = target.is_gateway();
    let of_gateway = |text: String| if is_gateway { text } else { NONE.to_owned() };
    vec![
        case.name().to_owned(),
        target.to_string(),
        value(Cell::cpu_per_1000, 2),
        ratio(Target::Floor, Cell::cpu_per_1000),
        ratio(Target::Nginx, Cell::cpu_per_1000),
        ratio(Target::Direct, Cell::cpu_per_1000),
        of_gateway(value(Cell::postgres_per_1000, 2)),
        of_gateway(ratio(Target::Floor, Cell::with_postgres_per_1000)),
        value(Cell::per_second, 0),
        value(Cell::megabytes, 1),
    ]
}

fn time(of: &Measurement, case: Case, target: Target) -> Vec<String> {
    type Part = fn(&Cell) -> f64;
    let value = |what: Part| number(median(&of.rounds, case, target, what), 2);
    let added = |what: Part| {
        let (here, direct) = ((case, target), (case, Target::Direct));
        let added = compared(&of.rounds, here, direct, |one, direct| what(one) - what(direct));
        number(added.filter(|_| target != Target::Direct), 2)
    };
    let is_stream = case == Case::PacedStream;
    let of_stream = |text: String| if is_stream { text } else { NONE.to_owned() };
    let [p50, p99]: [Part; 2] = [|cell| cell.total.p50, |cell| cell.total.p99];
    let first: Part = |cell| cell.first_byte.p50;
    let gap: Part = |cell| longest(cell.gap);
    vec![
        case.name().to_owned(),
        target.to_string(),
        value(p50),
        value(p99),
        added(p50),
        added(p99),
        value(first),
        added(first),
        of_stream(value(gap)),
        of_stream(added(gap)),
        of_stream(value(|cell| longest(cell.way))),
        of_stream(number(median(&of.rounds, case, target, |cell| cell.merged), 0)),
    ]
}

fn longest(times: Times) -> f64 {
    times.p99
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| format!("{value:.digits$}"))
}

/// Markdown with columns that line up in a terminal, too.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|cell| cell.chars().count())).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let rule: String = widths.iter().enumerate().map(|(index, width)| rule(index, *width)).collect();
    let head = line(head.iter().copied(), &widths);
    let lines = rows.iter().map(|row| line(row.iter().map(String::as_str), &widths));
    [head, format!("|{rule}\n")].into_iter().chain(lines).collect()
}

/// Words stand left, numbers right.
const WORDS: usize = 2;

fn line<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
    let cell = |(index, (cell, width)): (usize, (&str, usize))| {
        if index < WORDS { format!(" {cell:<width$} |") } else { format!(" {cell:>width$} |") }
    };
    let cells = cells.zip(widths.iter().copied()).enumerate().map(cell);
    format!("|{}\n", cells.collect::<Vec<_>>().concat())
}

fn rule(index: usize, width: usize) -> String {
    let dashes = "-".repeat(width + 1);
    if index < WORDS { format!("{dashes}-|") } else { format!("{dashes}:|") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["plain".to_owned(), "floor".to_owned(), "17.25".to_owned()]];
        let text = table(&["load", "target", "CPU"], &rows);
        let expected = "| load  | target |   CPU |\n|-------|--------|------:|\n| plain | floor  | 17.25 |\n";
        assert_eq!(text, expected);
    }
}

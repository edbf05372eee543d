use proptest::prelude::*;

use super::*;

/// Requests one behind the other, each as a client may send it.
const GOOD: &[&str] = &[
    "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "\r\n\r\nGET /v1/models?a=b HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: x\r\nContent-Length: 5\r\n\r\na\nb\nc",
    "POST / HTTP/1.1\r\nhost: x\r\ncontent-length:0\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: x\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\n\r\na\r\n0A;ext=1\r\n0123456789\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\ntrailer: x\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-Continue\r\ncontent-length: 2\r\n\r\n\r\n",
];

#[test]
fn what_is_wrong_is_found_wherever_it_comes() {
    let host = "host: x\r\n";
    let table = [
        ("GET / HTTP/1.1\nhost: x\r\n\r\n".to_owned(), "carriage return"),
        ("GET / HTTP/1.1\r\nhost: x\n\r\n".to_owned(), "carriage return"),
        ("GET / HTTP/1.1\r\nhost: x\r\n\n".to_owned(), "carriage return"),
        ("\nGET / HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), "carriage return"),
        (format!("GET / HTTP/1.1\r\n{host}a: b\r\n c\r\n\r\n"), "two lines"),
        (format!("GET / HTTP/1.1\r\n{host}\ta: b\r\n\r\n"), "two lines"),
        (format!("GET / HTTP/1.1\r\n{host}nothing\r\n\r\n"), "colon"),
        (format!("POST / HTTP/1.1\r\n{host}content-length: 1\r\ncontent-length: 1\r\n\r\n"), "twice"),
        (format!("POST / HTTP/1.1\r\n{host}content-length: 1\r\ncontent-length: 2\r\n\r\n"), "twice"),
        (format!("POST / HTTP/1.1\r\n{host}content-length: 1, 1\r\n\r\n"), "one number"),
        (format!("POST / HTTP/1.1\r\n{host}content-length: +1\r\n\r\n"), "one number"),
        (format!("POST / HTTP/1.1\r\n{host}content-length: -1\r\n\r\n"), "one number"),
        (format!("POST / HTTP/1.1\r\n{host}content-length: 0x1\r\n\r\n"), "one number"),
        (format!("POST / HTTP/1.1\r\n{host}content-length:\r\n\r\n"), "one number"),
        (format!("POST / HTTP/1.1\r\n{host}content-length: 99999999999999999999\r\n\r\n"), "one number"),
        (format!("POST / HTTP/1.1\r\n{host}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"), "both"),
        (format!("POST / HTTP/1.1\r\n{host}transfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n"), "both"),
        (format!("POST / HTTP/1.1\r\n{host}transfer-encoding: gzip, chunked\r\n\r\n"), "chunked"),
        (format!("POST / HTTP/1.1\r\n{host}transfer-encoding: identity\r\n\r\n"), "chunked"),
        (format!("POST / HTTP/1.1\r\n{host}transfer-encoding: \u{b}chunked\r\n\r\n"), "chunked"),
        (
            format!(
                "POST / HTTP/1.1\r\n{host}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n"
            ),
            "chunked",
        ),
        (format!("POST / HTTP/1.0\r\n{host}transfer-encoding: chunked\r\n\r\n"), "HTTP/1.0"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "Host"),
        (format!("GET / HTTP/1.1\r\n{host}{host}\r\n"), "Host"),
        (format!("POST / HTTP/1.1\r\n{host}expect: 200-ok\r\n\r\n"), "expects"),
        (format!("GET http://x/ HTTP/1.1\r\n{host}\r\n"), "not a path"),
        (format!("CONNECT x:443 HTTP/1.1\r\n{host}\r\n"), "not a path"),
        (format!("OPTIONS * HTTP/1.1\r\n{host}\r\n"), "not a path"),
        (format!("GET /\u{e4} HTTP/1.1\r\n{host}\r\n"), "percent-encoded"),
        (format!("GET /\0 HTTP/1.1\r\n{host}\r\n"), "percent-encoded"),
        (format!("POST / HTTP/1.1\r\n{host}transfer-encoding: chunked\r\n\r\nx\r\n"), "chunk"),
        (format!("POST / HTTP/1.1\r\n{host}transfer-encoding: chunked\r\n\r\n-1\r\n"), "chunk"),
        (format!("POST / HTTP/1.1\r\n{host}transfer-encoding: chunked\r\n\r\n0x1\r\n"), "chunk"),
        (format!("POST / HTTP/1.1\r\n{host}transfer-encoding: chunked\r\n\r\n\r\n"), "chunk"),
        (format!("POST / HTTP/1.1\r\n{host}transfer-encoding: chunked\r\n\r\n1\n"), "carriage return"),
        (
            format!("POST / HTTP/1.1\r\n{host}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n"),
            "chunk",
        ),
    ];
    for (bad, word) in table {
        for before in ["", GOOD[3], GOOD[5]] {
            let fault = Scanner::default().read(format!("{before}{bad}").as_bytes());
            let Some(Fault::Ambiguous(why)) = fault else { panic!("{bad:?}: {fault:?}") };
            assert!(why.contains(word), "{bad:?}: {why}");
        }
    }
}

#[test]
fn a_target_is_bounded_before_its_line_ends() {
    let fits = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(MAX_TARGET_BYTES - 1));
    assert_eq!(Scanner::default().read(fits.as_bytes()), None);
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(MAX_TARGET_BYTES));
    assert_eq!(Scanner::default().read(long.as_bytes()), Some(Fault::TargetTooLong));
    let endless = format!("GET /{}", "a".repeat(MAX_TARGET_BYTES + 100));
    assert_eq!(Scanner::default().read(endless.as_bytes()), Some(Fault::TargetTooLong));
}

proptest! {
    /// However the bytes are cut, the same is found: nothing in good requests, and the fault behind them.
    #[test]
    fn cutting_changes_nothing(
        order in proptest::collection::vec(0..GOOD.len(), 1..6),
        size in 1..40_usize,
        has_fault: bool,
    ) {
        let mut text: String = order.iter().map(|index| GOOD[*index]).collect();
        if has_fault {
            text.push_str("GET / HTTP/1.1\r\n\r\n");
        }
        let mut scanner = Scanner::default();
        let faults: Vec<_> = text.as_bytes().chunks(size).filter_map(|bytes| scanner.read(bytes)).collect();
        prop_assert_eq!(faults.len(), usize::from(has_fault), "{:?}", text);
    }

    /// No bytes make it panic or keep more than a head.
    #[test]
    fn any_bytes_are_taken(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..20)) {
        let mut scanner = Scanner::default();
        for piece in pieces {
            scanner.read(&piece);
        }
    }
}

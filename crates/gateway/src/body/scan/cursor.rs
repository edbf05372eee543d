//! Walks over JSON text and checks its grammar, with a depth limit and without recursion.

use std::borrow::Cow;
use std::ops::Range;

use super::{Embedded, Flaw, MAX_DEPTH, unquote};

/// A position in a text. Every method that fails leaves it somewhere useless: stop at the first flaw.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    embedded: Embedded,
}

/// A name inside its quotes.
type Name = Range<usize>;

/// The kinds of the open levels, innermost in the lowest bit; set is an object. With them the name each level has in
/// the one around it (an array's items have the array's), and the name last read in each.
struct Nesting {
    kinds: u64,
    depth: u32,
    names: [(u32, u32); MAX_DEPTH as usize + 1],
}

impl Nesting {
    /// Before a value that is called `name`.
    fn below(name: &Name) -> Self {
        let mut nesting = Self { kinds: 0, depth: 0, names: [(0, 0); MAX_DEPTH as usize + 1] };
        nesting.call(name);
        nesting
    }

    fn open(&mut self, object: bool) -> Result<(), Flaw> {
        // The object around the whole body counts too.
        if self.depth + 1 >= MAX_DEPTH {
            return Err(Flaw::TooDeep);
        }
        self.kinds = (self.kinds << 1) | u64::from(object);
        self.depth += 1;
        self.names[self.depth as usize] = self.names[self.depth as usize - 1];
        Ok(())
    }

    /// What comes next is called `name`.
    fn call(&mut self, name: &Name) {
        // A body is far smaller than 4 GiB.
        let [start, end] = [name.start, name.end].map(|at| u32::try_from(at).unwrap_or(0));
        self.names[self.depth as usize] = (start, end);
    }

    /// The name of the present value, and of what it is in.
    fn called(&self) -> (Name, Name) {
        let range = |(start, end): (u32, u32)| start as usize..end as usize;
        let depth = self.depth as usize;
        (range(self.names[depth]), range(self.names[depth.saturating_sub(1)]))
    }

    fn close(&mut self) {
        self.kinds >>= 1;
        self.depth -= 1;
    }

    fn in_object(&self) -> bool {
        self.kinds & 1 == 1
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), at: 0, embedded: Embedded::default() }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn embedded(&self) -> Embedded {
        self.embedded
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn bump(&mut self) {
        self.at += 1;
    }

    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Flaw> {
        if self.eat(byte) { Ok(()) } else { Err(self.flaw()) }
    }

    pub(super) fn whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Nothing but white space may follow.
    pub(super) fn end(&mut self) -> Result<(), Flaw> {
        self.whitespace();
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.flaw()) }
    }

    /// Passes one value of any kind, which is called what stands (inside quotes) at `name`.
    pub(super) fn value(&mut self, name: &Name) -> Result<(), Flaw> {
        let mut nesting = Nesting::below(name);
        loop {
            if self.open_or_scalar(&mut nesting)? {
                continue;
            }
            // A value has ended: so do the levels that end here.
            loop {
                if nesting.depth == 0 {
                    return Ok(());
                }
                self.whitespace();
                if self.eat(b',') {
                    if nesting.in_object() {
                        self.name(&mut nesting)?;
                    }
                    break;
                }
                self.expect(if nesting.in_object() { b'}' } else { b']' })?;
                nesting.close();
            }
        }
    }

    /// Passes a scalar or an empty container (false), or opens a container whose first value comes next (true).
    fn open_or_scalar(&mut self, nesting: &mut Nesting) -> Result<bool, Flaw> {
        self.whitespace();
        match self.peek() {
            Some(b'{') => {
                self.at += 1;
                nesting.open(true)?;
                self.whitespace();
                if self.eat(b'}') {
                    nesting.close();
                    return Ok(false);
                }
                self.name(nesting).map(|()| true)
            }
            Some(b'[') => {
                self.at += 1;
                nesting.open(false)?;
                self.whitespace();
                if self.eat(b']') {
                    nesting.close();
                    return Ok(false);
                }
                Ok(true)
            }
            Some(b'"') => self.string_value(nesting).map(|()| false),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| false),
            Some(b't') => self.literal(b"true").map(|()| false),
            Some(b'f') => self.literal(b"false").map(|()| false),
            Some(b'n') => self.literal(b"null").map(|()| false),
            _ => Err(self.flaw()),
        }
    }

    fn name(&mut self, nesting: &mut Nesting) -> Result<(), Flaw> {
        self.whitespace();
        let start = self.at;
        self.string()?;
        nesting.call(&(start + 1..self.at - 1));
        self.whitespace();
        self.expect(b':')
    }

    fn string_value(&mut self, nesting: &Nesting) -> Result<(), Flaw> {
        let start = self.at;
        self.string()?;
        let bytes = self.bytes;
        let (name, parent) = nesting.called();
        self.embedded.see(&bytes[start + 1..self.at - 1], &plain(bytes, &name), &plain(bytes, &parent));
        Ok(())
    }

    /// Passes a string with its quotes.
    pub(super) fn string(&mut self) -> Result<(), Flaw> {
        self.expect(b'"')?;
        loop {
            self.plain_words();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(0x20..) => self.at += 1,
                Some(_) | None => return Err(self.flaw()),
            }
        }
    }

    /// Skips eight bytes at a time while none of them means anything: prompts are long and mostly plain.
    fn plain_words(&mut self) {
        while let Some(word) = self.bytes.get(self.at..self.at + 8) {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(word);
            if has_special(u64::from_ne_bytes(bytes)) {
                return;
            }
            self.at += 8;
        }
    }

    fn escape(&mut self) -> Result<(), Flaw> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                self.at += 1;
                self.code_unit()
            }
            _ => Err(self.flaw()),
        }
    }

    /// Passes four hexadecimal digits, and the second half of a surrogate pair where the first was one.
    fn code_unit(&mut self) -> Result<(), Flaw> {
        match self.hex4()? {
            0xd800..=0xdbff => {
                self.expect(b'\\')?;
                self.expect(b'u')?;
                let low = self.hex4()?;
                if (0xdc00..=0xdfff).contains(&low) { Ok(()) } else { Err(self.flaw()) }
            }
            0xdc00..=0xdfff => Err(self.flaw()),
            _ => Ok(()),
        }
    }

    fn hex4(&mut self) -> Result<u32, Flaw> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit =
                self.peek().and_then(|byte| char::from(byte).to_digit(16)).ok_or_else(|| self.flaw())?;
            unit = unit * 16 + digit;
            self.at += 1;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), Flaw> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            if !self.eat(b'+') {
                self.eat(b'-');
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Flaw> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.flaw()) }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), Flaw> {
        if self.bytes[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.flaw())
    }

    fn flaw(&self) -> Flaw {
        Flaw::NotJson { at: self.at.min(self.bytes.len()) }
    }
}

/// A name with its escapes resolved. Names without any, which is nearly all, are only looked at.
fn plain<'a>(bytes: &'a [u8], name: &Name) -> Cow<'a, [u8]> {
    let inside = bytes.get(name.clone()).unwrap_or_default();
    if !inside.contains(&b'\\') {
        return Cow::Borrowed(inside);
    }
    let quoted = bytes.get(name.start.saturating_sub(1)..name.end + 1).unwrap_or_default();
    let text = std::str::from_utf8(quoted).ok().and_then(unquote);
    text.map_or(Cow::Borrowed(inside), |text| Cow::Owned(text.into_owned().into_bytes()))
}

/// Whether one of eight bytes is a quote, a backslash or a control character (the well-known bit tricks: a borrow
/// reaches a byte's top bit only if the byte was smaller).
const fn has_special(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    const fn has_zero(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & TOPS
    }
    let quote = has_zero(word ^ (ONES * b'"' as u64));
    let backslash = has_zero(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word & TOPS;
    quote | backslash | control != 0
}

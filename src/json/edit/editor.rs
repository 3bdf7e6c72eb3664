//! The editor: one pass over the bytes, in pieces that may end anywhere.
//!
//! What goes out is cut from what came in: a span runs until something is to be hidden or judged, and is then copied or
//! left out as a whole. Only an element that a filter judges is held, and only the names along the paths of patterns
//! are looked at.

use super::super::strict::{self, Strictness};
use super::plan::{NodeId, Plan, ROOT};
use super::scalar::{Number, Text, word};
use super::{DEPTH_MAX, ELEMENT_MAX_BYTES, Edits, HIDDEN, NAME_MAX_BYTES, Unreadable};

/// Edits one document.
pub struct Editor {
    plan: Plan,
    state: State,
    levels: Vec<Level>,
    /// The nodes that each open container reached, one after the other, and at the end those of the value about to
    /// begin.
    reached: Vec<NodeId>,
    /// How many levels are around the value that is hidden, if one is.
    hidden: Option<usize>,
    /// Between the elements of a filtered array, where commas are made anew.
    is_between: bool,
    /// The elements under judgement, from the outside in.
    elements: Vec<Element>,
    /// The outermost of them: as it came, and as it will go out.
    held: Vec<u8>,
    edited: Vec<u8>,
    /// The beginning of a name that came in pieces.
    name: Vec<u8>,
    /// Where arrays should be that are filtered, and nothing was so far.
    missing: Vec<NodeId>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Between the tokens.
    Expect(Expect),
    /// In the name of a member.
    Name(Text),
    /// In a string.
    Text(Text),
    Number(Number),
    /// The rest of `true`, `false` or `null`.
    Word(&'static [u8]),
    /// Nothing more is read.
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    Name,
    NameOrEnd,
    Colon,
    CommaOrEnd,
    /// Nothing but white space.
    Nothing,
}

/// An open array or object.
struct Level {
    kind: Kind,
    /// Its part of the reached nodes.
    start: usize,
    end: usize,
    /// The next element's.
    index: usize,
    /// Of an array: who judges its elements.
    filters: Vec<usize>,
    has_kept: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
}

/// Where an element begins in `held` and in `edited`.
struct Element {
    held: usize,
    edited: usize,
}

/// One piece of the document, and what became of it.
struct Piece<'p> {
    input: &'p [u8],
    /// The next byte.
    at: usize,
    /// What lies before was passed on or left out.
    done: usize,
    /// Where the name that is being read begins, if it is in this piece.
    name: usize,
    out: &'p mut Vec<u8>,
}

impl Piece<'_> {
    fn rest(&self) -> &[u8] {
        self.input.get(self.at..).unwrap_or_default()
    }
}

impl Editor {
    /// An editor of one document.
    #[must_use]
    pub fn new(edits: &Edits) -> Self {
        let plan = Plan::new(edits);
        Self {
            missing: plan.landmarks(),
            plan,
            state: State::Expect(Expect::Value),
            levels: Vec::new(),
            reached: vec![ROOT],
            hidden: None,
            is_between: false,
            elements: Vec::new(),
            held: Vec::new(),
            edited: Vec::new(),
            name: Vec::new(),
        }
    }

    /// Reads the next piece and adds to `out` what may go out. After a fault nothing is added any more.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let before = out.len();
        let mut piece = Piece { input, at: 0, done: 0, name: 0, out };
        let result = self.read(&mut piece);
        if result.is_err() {
            self.state = State::Broken;
            (self.held, self.edited, self.name) = Default::default();
            out.truncate(before);
        }
        result
    }

    /// Whether every array to be filtered was met so far: before that, nobody can say that what passes isn't the list.
    #[must_use]
    pub fn has_met_its_lists(&self) -> bool {
        self.missing.is_empty()
    }

    /// The document ended; says whether it was whole.
    pub fn finish(&mut self) -> Result<(), Unreadable> {
        let state = std::mem::replace(&mut self.state, State::Broken);
        let is_whole = match state {
            State::Expect(Expect::Nothing) => true,
            State::Number(number) => self.levels.is_empty() && number.is_whole(),
            _ => false,
        };
        if is_whole { Ok(()) } else { Err(Unreadable) }
    }

    fn read(&mut self, piece: &mut Piece<'_>) -> Result<(), Unreadable> {
        while piece.at < piece.input.len() {
            match &mut self.state {
                State::Expect(expect) => {
                    let expect = *expect;
                    self.token(expect, piece)?;
                }
                State::Name(text) => {
                    let (used, ended) = text.read(piece.rest())?;
                    piece.at += used;
                    if ended {
                        self.name_ended(piece)?;
                    }
                }
                State::Text(text) => {
                    let (used, ended) = text.read(piece.rest())?;
                    piece.at += used;
                    if ended {
                        self.value_ended(piece)?;
                    }
                }
                State::Number(number) => {
                    piece.at += number.read(piece.rest());
                    if piece.at < piece.input.len() {
                        if !number.is_whole() {
                            return Err(Unreadable);
                        }
                        self.value_ended(piece)?;
                    }
                }
                State::Word(rest) => {
                    let rest = *rest;
                    self.word(rest, piece)?;
                }
                State::Broken => return Err(Unreadable),
            }
        }
        if matches!(self.state, State::Broken) {
            return Err(Unreadable);
        }
        if matches!(self.state, State::Name(_)) && self.looks_at_names() {
            self.keep_name(piece.input.get(piece.name..).unwrap_or_default())?;
        }
        self.pass(piece)
    }

    fn word(&mut self, rest: &'static [u8], piece: &mut Piece<'_>) -> Result<(), Unreadable> {
        let here = rest.len().min(piece.rest().len());
        let (Some((expected, later)), true) = (rest.split_at_checked(here), here > 0) else {
            return Err(Unreadable);
        };
        if !piece.rest().starts_with(expected) {
            return Err(Unreadable);
        }
        piece.at += here;
        self.state = State::Word(later);
        if later.is_empty() { self.value_ended(piece) } else { Ok(()) }
    }

    /// Reads the token that begins here, or as much of it as is one byte.
    fn token(&mut self, expect: Expect, piece: &mut Piece<'_>) -> Result<(), Unreadable> {
        let rest = piece.rest();
        let blank = rest.iter().position(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t'));
        let Some((blank, &byte)) = blank.and_then(|blank| Some((blank, rest.get(blank)?))) else {
            piece.at = piece.input.len();
            return Ok(());
        };
        piece.at += blank;
        let kind = self.levels.last().map(|level| level.kind);
        match (expect, byte, kind) {
            (Expect::ValueOrEnd, b']', _) | (Expect::CommaOrEnd, b']', Some(Kind::Array)) => {
                self.close(piece)
            }
            (Expect::NameOrEnd, b'}', _) | (Expect::CommaOrEnd, b'}', Some(Kind::Object)) => {
                self.close(piece)
            }
            (Expect::Name | Expect::NameOrEnd, b'"', _) => {
                piece.at += 1;
                piece.name = piece.at;
                self.name.clear();
                self.state = State::Name(Text::default());
                Ok(())
            }
            (Expect::Colon, b':', _) => self.step(piece, Expect::Value),
            (Expect::CommaOrEnd, b',', Some(Kind::Array)) => self.step(piece, Expect::Value),
            (Expect::CommaOrEnd, b',', Some(Kind::Object)) => self.step(piece, Expect::Name),
            (Expect::Value | Expect::ValueOrEnd, byte, _) => self.value(byte, piece),
            _ => Err(Unreadable),
        }
    }

    fn step(&mut self, piece: &mut Piece<'_>, next: Expect) -> Result<(), Unreadable> {
        piece.at += 1;
        self.state = State::Expect(next);
        Ok(())
    }

    /// Begins the value whose first byte is next.
    fn value(&mut self, byte: u8, piece: &mut Piece<'_>) -> Result<(), Unreadable> {
        let filters = self.value_begins(byte, piece)?;
        piece.at += 1;
        let kind = match byte {
            b'[' => Kind::Array,
            b'{' => Kind::Object,
            b'"' => {
                self.state = State::Text(Text::default());
                return Ok(());
            }
            _ => {
                let number = Number::begin(byte).map(State::Number);
                self.state = number.or_else(|| word(byte).map(State::Word)).ok_or(Unreadable)?;
                return Ok(());
            }
        };
        if self.levels.len() >= DEPTH_MAX {
            return Err(Unreadable);
        }
        if !filters.is_empty() {
            self.pass(piece)?;
            self.is_between = true;
        }
        let (start, end) = (self.known(), self.reached.len());
        self.levels.push(Level { kind, start, end, index: 0, filters, has_kept: false });
        let next = if kind == Kind::Array { Expect::ValueOrEnd } else { Expect::NameOrEnd };
        self.state = State::Expect(next);
        Ok(())
    }

    /// What follows from the place of the value that begins here; returns the filters of an array.
    fn value_begins(&mut self, byte: u8, piece: &mut Piece<'_>) -> Result<Vec<usize>, Unreadable> {
        if self.hidden.is_some() {
            return Ok(Vec::new());
        }
        if let Some(level) = self.levels.last_mut().filter(|level| level.kind == Kind::Array) {
            for at in level.start..level.end {
                let Some(&node) = self.reached.get(at) else { continue };
                self.plan.element(node, level.index, &mut self.reached);
            }
            level.index += 1;
            if !level.filters.is_empty() {
                self.element_begins(piece)?;
            }
        }
        let reached = self.reached.get(self.known()..).unwrap_or_default();
        if reached.is_empty() {
            return Ok(Vec::new());
        }
        self.missing.retain(|landmark| !reached.contains(landmark));
        if self.plan.hides(reached) {
            self.pass(piece)?;
            self.target(piece).extend_from_slice(HIDDEN.as_bytes());
            self.hidden = Some(self.levels.len());
            self.reached.truncate(self.known());
            return Ok(Vec::new());
        }
        let filters = self.plan.filters(reached);
        if filters.is_empty() || byte == b'[' { Ok(filters) } else { Err(Unreadable) }
    }

    /// How many of the reached nodes belong to open containers.
    fn known(&self) -> usize {
        self.levels.last().map_or(0, |level| level.end)
    }

    fn close(&mut self, piece: &mut Piece<'_>) -> Result<(), Unreadable> {
        let Some(level) = self.levels.last() else { return Err(Unreadable) };
        if !level.filters.is_empty() {
            self.pass(piece)?;
            self.is_between = false;
        }
        piece.at += 1;
        self.levels.pop();
        self.value_ended(piece)
    }

    /// What follows from the end of the value whose last byte was read.
    fn value_ended(&mut self, piece: &mut Piece<'_>) -> Result<(), Unreadable> {
        let known = self.known();
        self.reached.truncate(known);
        if self.hidden == Some(self.levels.len()) {
            self.pass(piece)?;
            self.hidden = None;
        }
        if self.hidden.is_none() && self.levels.last().is_some_and(|level| !level.filters.is_empty()) {
            self.element_ended(piece)?;
        }
        let next = if self.levels.is_empty() { Expect::Nothing } else { Expect::CommaOrEnd };
        self.state = State::Expect(next);
        Ok(())
    }

    fn element_begins(&mut self, piece: &mut Piece<'_>) -> Result<(), Unreadable> {
        self.pass(piece)?;
        self.is_between = false;
        self.elements.push(Element { held: self.held.len(), edited: self.edited.len() });
        if self.levels.last().is_some_and(|level| level.has_kept) {
            self.edited.push(b',');
        }
        Ok(())
    }

    /// Judges the element, as it came.
    fn element_ended(&mut self, piece: &mut Piece<'_>) -> Result<(), Unreadable> {
        self.pass(piece)?;
        let (Some(level), Some(element)) = (self.levels.last_mut(), self.elements.pop()) else {
            return Err(Unreadable);
        };
        let bytes = self.held.get(element.held..).unwrap_or_default();
        let value = strict::read(bytes, Strictness::BODY).map_err(|_| Unreadable)?;
        if self.plan.keeps(&level.filters, &value) {
            level.has_kept = true;
        } else {
            self.edited.truncate(element.edited);
        }
        if self.elements.is_empty() {
            piece.out.append(&mut self.edited);
            self.held.clear();
        }
        self.is_between = true;
        Ok(())
    }

    /// Whether the members of the innermost object may be ones that are looked for.
    fn looks_at_names(&self) -> bool {
        self.hidden.is_none() && self.levels.last().is_some_and(|level| level.start < level.end)
    }

    fn keep_name(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        self.name.extend_from_slice(bytes);
        if self.name.len() > NAME_MAX_BYTES { Err(Unreadable) } else { Ok(()) }
    }

    /// The name's closing quote was read: which nodes does the member reach?
    fn name_ended(&mut self, piece: &mut Piece<'_>) -> Result<(), Unreadable> {
        self.state = State::Expect(Expect::Colon);
        if !self.looks_at_names() {
            return Ok(());
        }
        let here = piece.input.get(piece.name..piece.at.saturating_sub(1)).unwrap_or_default();
        self.keep_name(here)?;
        let name = std::mem::take(&mut self.name);
        let decoded;
        let member = if name.contains(&b'\\') {
            let quoted = [b"\"", name.as_slice(), b"\""].concat();
            decoded = serde_json::from_slice::<String>(&quoted).map_err(|_| Unreadable)?;
            &decoded
        } else {
            str::from_utf8(&name).map_err(|_| Unreadable)?
        };
        let Some(level) = self.levels.last() else { return Err(Unreadable) };
        for at in level.start..level.end {
            let Some(&node) = self.reached.get(at) else { continue };
            self.plan.member(node, member, &mut self.reached);
        }
        self.name = name;
        Ok(())
    }

    /// Passes on what was read since the last time, or leaves it out.
    fn pass(&mut self, piece: &mut Piece<'_>) -> Result<(), Unreadable> {
        let span = piece.input.get(piece.done..piece.at).unwrap_or_default();
        piece.done = piece.at;
        if !self.elements.is_empty() {
            self.held.extend_from_slice(span);
            if self.held.len() > ELEMENT_MAX_BYTES {
                return Err(Unreadable);
            }
        }
        if self.hidden.is_none() && !self.is_between {
            self.target(piece).extend_from_slice(span);
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.held.capacity() + self.edited.capacity() + self.name.capacity() + self.reached.capacity()
    }

    fn target<'t>(&'t mut self, piece: &'t mut Piece<'_>) -> &'t mut Vec<u8> {
        if self.elements.is_empty() { piece.out } else { &mut self.edited }
    }
}

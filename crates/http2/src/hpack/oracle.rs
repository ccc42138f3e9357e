//! fluke-hpack, which shares no code with ours, reads what we write, writes what we read, and reads what we read.

use super::{Decoder, Outcome, encode_field, encode_status, huffman, integer};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Names and values that are common, that are not, and that are nothing but bytes; and how long the longest are.
struct Texts(fastrand::Rng, usize);

impl Texts {
    fn name(&mut self) -> Vec<u8> {
        let known =
            ["content-type", "set-cookie", "vary", ":path", "x-request-id", "x-frame-options", "etag"];
        match self.0.choice(known) {
            Some(name) if self.0.bool() => name.into(),
            _ => {
                let length = self.0.usize(1..40);
                (0..length)
                    .map(|_| *self.0.choice(b"abcdefghijklmnopqrstuvwxyz-0123456789").unwrap())
                    .collect()
            }
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let longest = *self.0.choice(&[0, 4, 30, 300, self.1]).unwrap();
        let length = self.0.usize(0..=longest);
        let is_text = self.0.u8(0..4) > 0;
        (0..length).map(|_| if is_text { self.0.u8(b' '..=b'~') } else { self.0.u8(..) }).collect()
    }

    fn fields(&mut self, most: usize) -> Fields {
        (0..self.0.usize(0..=most)).map(|_| (self.name(), self.value())).collect()
    }
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Fields {
    let mut fields = Vec::new();
    let outcome =
        decoder.decode(block, usize::MAX, |name, value| fields.push((name.to_vec(), value.to_vec())));
    assert_eq!(outcome, Ok(Outcome::Whole), "{block:x?}");
    fields
}

#[test]
fn others_read_what_we_write() {
    let mut texts = Texts(fastrand::Rng::with_seed(1), 300);
    let mut theirs = fluke_hpack::Decoder::new();
    let mut ours = Decoder::new(4096);
    for status in 100..200 {
        let mut fields = texts.fields(20);
        let mut block = Vec::new();
        encode_status(&mut block, status);
        for (name, value) in &fields {
            encode_field(&mut block, &name.to_ascii_uppercase(), value);
        }
        fields.insert(0, (b":status".into(), status.to_string().into()));
        assert_eq!(theirs.decode(&block).as_ref().ok(), Some(&fields));
        assert_eq!(decode(&mut ours, &block), fields);
    }
    assert_eq!(ours.table_size(), 0);
}

/// Their encoder adds everything to the table that is not in it, and so turns it over again and again.
#[test]
fn we_read_what_others_write() {
    let mut texts = Texts(fastrand::Rng::with_seed(2), 5000);
    let mut theirs = fluke_hpack::Encoder::new();
    let mut ours = Decoder::new(4096);
    let mut last = Fields::new();
    let mut largest = 0;
    for _ in 0..1000 {
        // Some of what was there before, so that it is referred to.
        let mut fields = texts.fields(12);
        fields.extend(last.into_iter().filter(|_| texts.0.bool()));
        let block = theirs.encode(fields.iter().map(|(name, value)| (&name[..], &value[..])));
        assert_eq!(decode(&mut ours, &block), fields);
        last = fields;
        last.truncate(20);
        largest = largest.max(ours.table_size());
    }
    assert!(largest > 4000, "{largest}");
}

/// Blocks of all that there is: fields from both tables, names from both, literals of three kinds, coded or not, and new
/// sizes of the table.
#[test]
fn we_read_as_others_do() {
    let mut texts = Texts(fastrand::Rng::with_seed(3), 2000);
    let mut theirs = fluke_hpack::Decoder::new();
    let mut ours = Decoder::new(4096);
    let mut entries = 0;
    for _ in 0..400 {
        let mut block = Vec::new();
        if texts.0.u8(0..8) == 0 {
            integer::write(&mut block, 0x20, 5, texts.0.usize(0..=4096));
        }
        for _ in 0..texts.0.u8(1..10) {
            // How many entries the table has is not known while a block is written: no fewer than when it began,
            // less what this block may have driven out. So only the first field refers to it.
            let in_table = if block.is_empty() { entries } else { 0 };
            let index = texts.0.usize(1..=61 + in_table);
            let (first, prefix) = *texts.0.choice(&[(0x80, 7), (0x40, 6), (0x00, 4), (0x10, 4)]).unwrap();
            if first == 0x80 {
                integer::write(&mut block, first, prefix, index);
                continue;
            }
            let is_known = texts.0.bool();
            integer::write(&mut block, first, prefix, if is_known { index } else { 0 });
            let name = (!is_known).then(|| texts.name());
            for text in name.into_iter().chain([texts.value()]) {
                if texts.0.bool() {
                    let mut coded = vec![0; text.len() * 4];
                    let length = huffman::encode(&text, &mut coded, |byte| byte).unwrap();
                    coded.truncate(length);
                    integer::write(&mut block, 0x80, 7, coded.len());
                    block.extend(coded);
                } else {
                    integer::write(&mut block, 0, 7, text.len());
                    block.extend(text);
                }
            }
        }
        assert_eq!(Some(decode(&mut ours, &block)), theirs.decode(&block).ok(), "{block:x?}");
        entries = (0..).take_while(|number| ours.decode(&index(62 + number), 0, |_, _| {}).is_ok()).count();
    }
}

/// A field from the tables.
fn index(index: usize) -> Vec<u8> {
    let mut block = Vec::new();
    integer::write(&mut block, 0x80, 7, index);
    block
}

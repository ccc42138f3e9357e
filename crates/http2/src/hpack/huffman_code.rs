//! The Huffman code of RFC 7541 appendix B, and the tables that are computed from it when this is compiled.

/// The length in bits of the code of the end-of-string symbol, which is the longest there is.
pub(super) const LONGEST: u32 = 30;
/// The bits by which [`SHORT`] is indexed: enough for all that is common in fields.
pub(super) const SHORT_BITS: u32 = 10;

/// Appendix B: the length of a code in bits, and the symbols that have codes of this length.
///
/// The code is canonical: codes of one length count up in the order of their symbols, and go on where those of the length
/// before ended. So nothing else of the appendix is needed; the end-of-string symbol has what is left, thirty ones.
const SYMBOLS: [(u32, &[u8]); 21] = [
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\x00$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
    (19, &[92, 195, 208]),
    (20, &[128, 130, 131, 162, 184, 194, 224, 226]),
    (21, &[153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230]),
    (
        22,
        &[
            129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187,
            189, 190, 196, 198, 228, 232, 233,
        ],
    ),
    (
        23,
        &[
            1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165, 166, 168, 174,
            175, 180, 182, 183, 188, 191, 197, 231, 239,
        ],
    ),
    (24, &[9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237]),
    (25, &[199, 207, 234, 235]),
    (26, &[192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243, 255]),
    (27, &[203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252, 253, 254]),
    (
        28,
        &[
            2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31,
            127, 220, 249,
        ],
    ),
    (30, &[10, 13, 22]),
];

/// The code of a byte.
#[derive(Clone, Copy)]
pub(super) struct Code {
    /// Its length in bits.
    pub(super) bits: u32,
    /// The code, in the lowest bits.
    pub(super) code: u32,
}

/// The codes of one length, for those that [`SHORT`] does not know.
#[derive(Clone, Copy)]
pub(super) struct Length {
    /// The length in bits.
    pub(super) bits: u32,
    /// The first code, at the top of 32 bits.
    pub(super) first: u32,
    /// The first code of a greater length, at the top of 32 bits.
    pub(super) end: u32,
    /// What symbols they stand for, in order.
    pub(super) symbols: &'static [u8],
}

/// How many of the lengths are longer than [`SHORT_BITS`].
const LONG_LENGTHS: usize = 16;

/// The code of every byte.
pub(super) static CODES: [Code; 256] = TABLES.codes;
/// For the next [`SHORT_BITS`] bits of a string, the symbol in the lower byte and the length of its code in the upper;
/// 0 if it takes more bits to tell.
pub(super) static SHORT: [u16; 1 << SHORT_BITS] = TABLES.short;
/// The codes that are longer, by length.
pub(super) static LONG: [Length; LONG_LENGTHS] = TABLES.long;

struct Tables {
    codes: [Code; 256],
    short: [u16; 1 << SHORT_BITS],
    long: [Length; LONG_LENGTHS],
}

const TABLES: Tables = tables();

const fn tables() -> Tables {
    let mut tables = Tables {
        codes: [Code { bits: 0, code: 0 }; 256],
        short: [0; 1 << SHORT_BITS],
        long: [Length { bits: 0, first: 0, end: 0, symbols: &[] }; LONG_LENGTHS],
    };
    let mut code: u32 = 0;
    let mut last_bits = 0;
    let mut long = 0;
    let mut at = 0;
    while at < SYMBOLS.len() {
        let (bits, symbols) = SYMBOLS[at];
        code <<= bits - last_bits;
        last_bits = bits;
        let first = code;
        let mut number = 0;
        while number < symbols.len() {
            let symbol = symbols[number];
            assert!(tables.codes[symbol as usize].bits == 0, "a symbol has one code");
            assert!(number == 0 || symbols[number - 1] < symbol, "the symbols of one length are in order");
            tables.codes[symbol as usize] = Code { bits, code };
            if bits <= SHORT_BITS {
                let spare = SHORT_BITS - bits;
                let mut rest = 0;
                while rest < 1 << spare {
                    tables.short[(code as usize) << spare | rest] = (bits as u16) << 8 | symbol as u16;
                    rest += 1;
                }
            }
            code += 1;
            number += 1;
        }
        if bits > SHORT_BITS {
            tables.long[long] =
                Length { bits, first: first << (32 - bits), end: code << (32 - bits), symbols };
            long += 1;
        }
        at += 1;
    }
    // All 256 bytes have a code, and exactly one code is left: a slip in the lists above would show here.
    assert!(last_bits == LONGEST && code == (1 << LONGEST) - 1, "only the end of string is without a code");
    tables
}

//! E: Transfer-Encoding, by itself and with a Content-Length before and after it.

use super::oracle::{Case, F, R, S, judge};
use crate::support::stand::post_with;

/// A body that is whole for who counts five bytes and for who reads chunks.
const EITHER: &str = "0\r\n\r\n";
const LENGTH: &[u8] = b"Content-Length: 5\r\n";

/// These lines alone, with a Content-Length before, and with one behind, each answered with one of these statuses.
fn three_ways(lines: impl AsRef<[u8]>, statuses: &[u16]) -> [Case; 3] {
    let lines = lines.as_ref();
    [lines.to_vec(), [LENGTH, lines].concat(), [lines, LENGTH].concat()]
        .map(|lines| Case::new(post_with(lines, EITHER), statuses))
}

/// Each of these values as the only Transfer-Encoding, in three ways.
fn values<'a>(values: impl IntoIterator<Item = &'a [u8]>, statuses: &[u16]) -> Vec<Case> {
    let line = |value: &[u8]| [b"Transfer-Encoding: ", value, b"\r\n"].concat();
    values.into_iter().flat_map(|value| three_ways(line(value), statuses)).collect()
}

#[test]
fn e33_codings_other_than_chunked() {
    let codings: [&[u8]; 16] = [
        b"xchunked",
        b"identity",
        b"gzip",
        b"chunk",
        b"\"chunked\"",
        b"'chunked'",
        b"chunked;q=1",
        b"chunkedx",
        b"x-chunked",
        b"deflate",
        b"br",
        b"none",
        b"*",
        b"chunked ; a",
        b"chunked=",
        b"chunked\\",
    ];
    judge(values(codings, S));
}

#[test]
fn e34_lists_of_codings() {
    let lists: [&[u8]; 8] = [
        b"chunked, gzip",
        b"chunked, chunked",
        b"identity, chunked, identity",
        b"gzip, chunked",
        b"gzip,chunked",
        b"identity, chunked",
        b"chunked, identity",
        b"chunked chunked",
    ];
    judge(values(lists, S));
}

#[test]
fn e35_two_lines() {
    let lines = [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked\r\nX: y\r\ntransfer-encoding: x\r\n",
        "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n",
    ];
    judge(lines.into_iter().flat_map(|lines| three_ways(lines, S)));
}

#[test]
fn e36_empty_members_and_nothing() {
    let lists: [&[u8]; 6] = [b",chunked", b"chunked,", b"", b",", b", chunked", b"chunked, ,"];
    judge(values(lists, S));
    judge(three_ways("Transfer-Encoding:\r\n", S));
}

#[test]
fn e37_bytes_that_pass_for_white_space_or_for_letters() {
    let codings: [&[u8]; 10] = [
        b"\x0bchunked",
        b"\x0cchunked",
        b"chunked\0",
        b"chunked\r",
        b"\xa0chunked",
        "chun\u{212a}ed".as_bytes(),
        b"chunked\x0b",
        b"chunked\x85",
        b"\0chunked",
        "\u{ff43}hunked".as_bytes(),
    ];
    judge(values(codings, S));
}

#[test]
fn e38_names_that_pass_for_transfer_encoding() {
    let lines: [&[u8]; 9] = [
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding\t: chunked\r\n",
        b"Transfer-Encoding\x85: chunked\r\n",
        b"Transfer-Encoding\xff: chunked\r\n",
        b"Transfer-Encoding\xa0: chunked\r\n",
        b"Transfer-Encoding\0: chunked\r\n",
        b"Transfer-Encoding:\r\n chunked\r\n",
        b"Transfer-Encoding: chunked\r\n , identity\r\n",
        b"X: y\r\n Transfer-Encoding: chunked\r\n",
    ];
    judge(lines.into_iter().flat_map(|lines| three_ways(lines, R)));
}

#[test]
fn e39_chunked_in_other_letters_goes_on_in_one_form() {
    let body = "5\r\nhello\r\n0\r\n\r\n";
    judge(["Chunked", "chunked\t", "CHUNKED", "\tchunked", "chunked  ", "cHuNkEd"].map(|coding| {
        Case::new(post_with(format!("Transfer-Encoding: {coding}\r\n"), body), F)
            .with("it goes on with its length", |request| {
                request.field("content-length") == Some("5") && request.body == b"hello"
            })
    }));
    judge(["transfer-encoding", "TRANSFER-ENCODING"].map(|name| {
        Case::new(post_with(format!("{name}:chunked\r\n"), body), F)
            .with("it goes on with its length", |request| request.field("content-length") == Some("5"))
    }));
    let with_length = ["Chunked", "chunked\t"].map(|coding| format!("Transfer-Encoding: {coding}\r\n"));
    let with_length = with_length.into_iter().flat_map(|line| three_ways(line, R).into_iter().skip(1));
    judge(with_length);
}

#[test]
fn e40_both_framings_at_once() {
    let coding = "Transfer-Encoding: chunked\r\n";
    for length in ["5", "0", "3", "", "x", "18446744073709551621"] {
        let length = format!("Content-Length: {length}\r\n");
        judge(
            [
                format!("{coding}{length}"),
                format!("{length}{coding}"),
                format!("{length}X: y\r\n{coding}{length}"),
            ]
            .map(|lines| Case::new(post_with(lines, EITHER), R)),
        );
    }
    // What would be left over under the one framing is a request under the other.
    let hidden = "0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    judge([
        Case::new(post_with(format!("Content-Length: {}\r\n{coding}", hidden.len()), hidden), R),
        Case::new(post_with(format!("{coding}Content-Length: {}\r\n", hidden.len()), hidden), R),
    ]);
}

#[test]
fn e41_chunked_in_http_1_0() {
    for lines in ["", "Connection: keep-alive\r\n", "Content-Length: 5\r\n"] {
        for coding in ["chunked", "Chunked", "identity"] {
            let head = format!("POST / HTTP/1.0\r\nHost: a\r\n{lines}Transfer-Encoding: {coding}\r\n\r\n");
            judge([Case::new(head + EITHER, R)]);
        }
    }
}

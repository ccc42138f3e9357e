//! What is coded comes out as it went in, through decoders that share no code with the encoders where there are such.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use crate::{Encoder, Encoders, whole};
use proptest::prelude::*;
use vestibule_config::Coding;

const ALL: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

/// By libdeflate or zstd, which take several members and frames, or the decompressor of brotli.
fn decoded(coding: Coding, coded: &[u8], most: usize) -> Option<Vec<u8>> {
    match coding {
        Coding::Brotli => {
            let mut out = Vec::new();
            let mut reader = brotli_decompressor::Decompressor::new(coded, 4096);
            reader.read_to_end(&mut out).ok()?;
            Some(out)
        }
        Coding::Zstd => {
            let mut out = Vec::with_capacity(most);
            zstd_safe::decompress(&mut out, coded).ok()?;
            Some(out)
        }
        Coding::Gzip => {
            let mut out = vec![0; most];
            let length = libdeflater::Decompressor::new().gzip_decompress(coded, &mut out).ok()?;
            out.truncate(length);
            Some(out)
        }
    }
}

/// By the programs that everybody has.
fn by_program(coding: Coding, coded: &[u8]) -> Option<Vec<u8>> {
    let program = match coding {
        Coding::Gzip => "gzip",
        Coding::Zstd => "zstd",
        Coding::Brotli => return None,
    };
    let mut child =
        Command::new(program).arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut input = child.stdin.take().unwrap();
    let coded = coded.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&coded));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join();
    assert!(output.status.success(), "{program} finds a fault");
    Some(output.stdout)
}

/// Text that repeats itself now and then.
fn text(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut out = Vec::with_capacity(len + 32);
    while out.len() < len {
        match next() % 7 {
            0 => out.extend_from_slice(format!("<td>{}</td>\n", next()).as_bytes()),
            1 => out.extend_from_slice(b"<p class=\"lead\">"),
            n => out.extend_from_slice(
                [&b"orders "[..], b"and ", b"people ", b"of the ", b"quarter "][n as usize - 2],
            ),
        }
    }
    out.truncate(len);
    out
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    Flush,
    Rest,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0usize..6000).prop_map(Step::Write),
        1 => (60_000usize..150_000).prop_map(Step::Write),
        2 => Just(Step::Flush),
        1 => Just(Step::Rest),
    ];
    prop::collection::vec(step, 0..14)
}

fn run(encoder: &mut Encoder, steps: &[Step], data: &[u8], out: &mut Vec<u8>) -> usize {
    let mut at = 0;
    for step in steps {
        match step {
            Step::Write(len) => {
                let end = (at + len).min(data.len());
                encoder.write(&data[at..end], out).unwrap();
                at = end;
            }
            Step::Flush => encoder.flush(out).unwrap(),
            Step::Rest => encoder.rest(out).unwrap(),
        }
    }
    at
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn comes_out_as_it_went_in_however_it_is_cut(steps in steps(), seed: u64, which in 0usize..3, noise: bool) {
        let data = if noise {
            (0..400_000u64).map(|n| (n.wrapping_mul(seed | 1) >> 13) as u8).collect()
        } else {
            text(400_000, seed)
        };
        let encoders = Encoders::default();
        // The second has the engine that the first gave back.
        for _ in 0..2 {
            let mut out = b"before".to_vec();
            let mut encoder = encoders.begin(ALL[which]).unwrap();
            let len = run(&mut encoder, &steps, &data, &mut out);
            encoder.finish(&mut out).unwrap();
            prop_assert_eq!(&out[..6], b"before");
            let back = decoded(ALL[which], &out[6..], len + 1);
            prop_assert_eq!(back.as_deref(), Some(&data[..len]));
        }
    }

    #[test]
    fn comes_out_as_it_went_in_when_coded_whole(len in 0usize..200_000, seed: u64, which in 0usize..3) {
        let (data, coding) = (text(len, seed), ALL[which]);
        let encoders = Encoders::default();
        for _ in 0..2 {
            let mut out = b"before".to_vec();
            encoders.whole(coding, &data, &mut out).unwrap();
            let back = decoded(coding, &out[6..], len + 1);
            prop_assert_eq!(back.as_deref(), Some(&data[..]));
        }
        if let Some(coded) = whole(coding, &data) {
            prop_assert!(coded.len() < len);
            let back = decoded(coding, &coded, len + 1);
            prop_assert_eq!(back.as_deref(), Some(&data[..]));
        } else {
            prop_assert!(len < 64);
        }
    }
}

#[test]
fn what_was_written_can_be_read_after_a_flush() {
    for coding in ALL {
        let encoders = Encoders::default();
        let mut encoder = encoders.begin(coding).unwrap();
        let (mut out, mut said) = (Vec::new(), Vec::new());
        for turn in 0..5 {
            let line = format!("line {turn} of the log\n");
            said.extend_from_slice(line.as_bytes());
            encoder.write(line.as_bytes(), &mut out).unwrap();
            assert!(encoder.is_due());
            encoder.flush(&mut out).unwrap();
            assert!(!encoder.is_due());
            if turn == 2 {
                encoder.rest(&mut out).unwrap();
            }
            assert_eq!(readable(coding, &out, said.len()), said, "{coding:?} after line {turn}");
            let length = out.len();
            encoder.flush(&mut out).unwrap();
            assert_eq!(out.len(), length, "a flush of nothing is nothing");
        }
    }
}

/// What a decoder makes of a body whose end has not come.
fn readable(coding: Coding, coded: &[u8], most: usize) -> Vec<u8> {
    let mut out = vec![0; most];
    let length = match coding {
        Coding::Brotli => {
            let mut reader = brotli_decompressor::Decompressor::new(coded, 4096);
            let mut length = 0;
            while let Ok(count @ 1..) = reader.read(&mut out[length..]) {
                length += count;
            }
            length
        }
        Coding::Zstd => {
            let mut context = zstd_safe::DCtx::create();
            let mut input = zstd_safe::InBuffer::around(coded);
            let mut output = zstd_safe::OutBuffer::around(&mut out[..]);
            while input.pos() < coded.len() {
                context.decompress_stream(&mut output, &mut input).unwrap();
            }
            output.pos()
        }
        Coding::Gzip => {
            let mut inflater = flate2::Decompress::new_gzip(15);
            inflater.decompress(coded, &mut out, flate2::FlushDecompress::Sync).unwrap();
            inflater.total_out() as usize
        }
    };
    out.truncate(length);
    out
}

#[test]
fn a_body_that_is_broken_off_does_not_pass_for_whole() {
    let data = text(100_000, 5);
    for coding in ALL {
        let encoders = Encoders::default();
        let mut encoder = encoders.begin(coding).unwrap();
        let mut out = Vec::new();
        encoder.write(&data, &mut out).unwrap();
        encoder.flush(&mut out).unwrap();
        drop(encoder);
        assert_eq!(decoded(coding, &out, data.len() + 1), None, "{coding:?}");
    }
}

#[test]
fn an_empty_body_is_one_that_decodes_to_nothing() {
    for coding in ALL {
        let encoders = Encoders::default();
        let mut out = Vec::new();
        let mut encoder = encoders.begin(coding).unwrap();
        encoder.flush(&mut out).unwrap();
        encoder.rest(&mut out).unwrap();
        encoder.finish(&mut out).unwrap();
        assert!(!out.is_empty());
        assert_eq!(decoded(coding, &out, 1), Some(Vec::new()), "{coding:?}");
    }
}

#[test]
fn many_at_once_stay_within_bounds_and_come_out_right() {
    for coding in ALL {
        let encoders = Encoders::default();
        let data: Vec<_> = (0..100).map(|seed| text(9_000, seed)).collect();
        let mut open: Vec<_> = (0..100).map_while(|_| Some((encoders.begin(coding)?, Vec::new()))).collect();
        assert_eq!(open.len(), if coding == Coding::Brotli { 16 } else { 100 });
        for part in 0..3 {
            for ((encoder, out), data) in open.iter_mut().zip(&data) {
                encoder.write(&data[part * 3000..(part + 1) * 3000], out).unwrap();
                encoder.flush(out).unwrap();
            }
            let holding = open.iter().filter(|(encoder, _)| encoder.can_rest()).count();
            assert!(holding <= 64, "{holding} hold memory");
        }
        for ((encoder, mut out), data) in open.into_iter().zip(&data) {
            encoder.finish(&mut out).unwrap();
            assert_eq!(decoded(coding, &out, 9_001).as_ref(), Some(data), "{coding:?}");
        }
        assert!(encoders.begin(coding).is_some());
    }
}

#[test]
fn gzip_and_zstd_read_what_rested() {
    let data = text(300_000, 9);
    for coding in [Coding::Gzip, Coding::Zstd] {
        let encoders = Encoders::default();
        let mut encoder = encoders.begin(coding).unwrap();
        let mut out = Vec::new();
        for piece in data.chunks(70_000) {
            encoder.write(piece, &mut out).unwrap();
            encoder.rest(&mut out).unwrap();
        }
        encoder.finish(&mut out).unwrap();
        let back = by_program(coding, &out).expect("gzip and zstd are installed");
        assert!(back == data, "{coding:?}");
        let coded = whole(coding, &data).unwrap();
        assert!(by_program(coding, &coded).unwrap() == data, "{coding:?}");
    }
}

#[test]
fn what_does_not_shrink_is_not_kept() {
    let noise: Vec<u8> = (0..5000u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 29) as u8).collect();
    for coding in ALL {
        assert_eq!(whole(coding, b""), None);
        assert_eq!(whole(coding, b"x"), None);
        assert_eq!(whole(coding, &noise[..40]), None);
    }
}

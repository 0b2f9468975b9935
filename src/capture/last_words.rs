//! What a program says on its standard error before it fails: the reason why a
//! camera is lost. Bounded, one line, and without the secrets of its arguments.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::process::ChildStderr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;

use crate::config::percent_decoded;

/// Bytes that are kept, the last ones.
const KEPT: usize = 2048;
/// Characters that are told, the last ones.
const TOLD: usize = 200;
/// How long the end of what a program says is waited for once it has ended.
const PATIENCE: Duration = Duration::from_millis(300);
/// Words of arguments that say what a program did, and nothing else.
const HARMLESS: [&str; 6] = ["rtsp", "rtsps", "http", "https", "video", "camera"];
/// Arguments that are shorter say nothing of their own.
const SHORTEST_SECRET: usize = 4;

/// Listens on a thread of its own, so that the program never waits for it.
pub(super) struct LastWords {
    kept: Arc<Mutex<VecDeque<u8>>>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// Arguments that may hold a secret, longest first.
    secrets: Vec<String>,
}

impl LastWords {
    /// Listens to what a program with these `arguments` says.
    pub fn listen(stderr: Option<ChildStderr>, arguments: &[String]) -> io::Result<LastWords> {
        let kept = Arc::new(Mutex::new(VecDeque::with_capacity(KEPT)));
        let sink = Arc::clone(&kept);
        let listen = |stderr| std::thread::Builder::new().name("program".into()).spawn(move || keep(stderr, &sink));
        let thread = stderr.map(listen).transpose()?;
        Ok(LastWords { kept, thread, secrets: secrets(arguments) })
    }

    /// The last of what it said, if it said anything, on one line.
    pub fn told(&self) -> Option<String> {
        let until = Instant::now() + PATIENCE;
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Where the beginning is cut off, a secret may be cut in the middle.
        let cut = match kept.len() {
            KEPT => kept.iter().position(u8::is_ascii_whitespace).unwrap_or(KEPT),
            _ => 0,
        };
        let bytes: Vec<u8> = kept.iter().skip(cut).copied().collect();
        drop(kept);
        let words = clean(&String::from_utf8_lossy(&bytes), &self.secrets);
        (!words.is_empty()).then_some(words)
    }
}

/// Until the program and all that it started have closed their end.
fn keep(mut stderr: ChildStderr, kept: &Mutex<VecDeque<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(count) = stderr.read(&mut buffer) {
        let Some(new) = buffer.get(..count).filter(|new| !new.is_empty()) else { return };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(new);
        let excess = kept.len().saturating_sub(KEPT);
        kept.drain(..excess);
    }
}

/// What of the arguments may not be repeated, the longest first. Nobody can tell which
/// of them is a secret, so it is all of them but names of options and devices; of an
/// option the value, of an address also its login alone.
fn secrets(arguments: &[String]) -> Vec<String> {
    let mut found: Vec<&str> = Vec::new();
    for argument in arguments.iter().skip(1).filter(|argument| !argument.starts_with("/dev/")) {
        match (argument.split_once('='), argument.strip_prefix('-')) {
            (Some((_, value)), Some(_)) => found.push(value),
            // "-pSECRET"
            (None, Some(name)) if !name.starts_with('-') => found.extend(name.get(1..)),
            (None, Some(_)) => {}
            (_, None) => found.push(argument),
        }
    }
    let logins: Vec<&str> =
        found.iter().filter_map(|text| Some(text.split_once("://")?.1.rsplit_once('@')?.0)).collect();
    // What a program repeats is seldom all of an argument: a parameter of an address, a
    // word of a shell's line. And it has undone its encoding, or made another one.
    let words =
        found.iter().flat_map(|text| text.split(|c: char| "/?&=@:;,#|\"'()<>$".contains(c) || c.is_whitespace()));
    let mut all: Vec<String> = found.iter().chain(&logins).copied().chain(words).map(str::to_owned).collect();
    let plain: Vec<Vec<u8>> = all.iter().filter_map(|text| percent_decoded(text)).collect();
    all.extend(plain.iter().map(|text| String::from_utf8_lossy(text).into_owned()));
    let encoded = |login: &str| {
        let plain = percent_decoded(login).unwrap_or_else(|| login.as_bytes().to_vec());
        base64::engine::general_purpose::STANDARD.encode(plain)
    };
    all.extend(logins.iter().map(|login| encoded(login)));
    all.retain(|secret| secret.len() >= SHORTEST_SECRET && !HARMLESS.contains(&secret.as_str()));
    all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    all.dedup();
    all
}

/// A line without words that hold an address with or without a login, and without what
/// stands behind an equals sign.
fn without_addresses(line: &str) -> String {
    let plain = |word: &str| match word.split_once('=') {
        _ if word.contains("://") || word.contains('@') => "***".to_owned(),
        Some((name, value)) if !value.is_empty() => format!("{name}=***"),
        _ => word.to_owned(),
    };
    line.split(' ').map(plain).collect::<Vec<_>>().join(" ")
}

/// One line without control characters and secrets, of the last `TOLD`
/// characters.
fn clean(text: &str, secrets: &[String]) -> String {
    let hidden = secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"));
    let lines = hidden.lines().map(without_addresses);
    // Colours and the like: an escape, a bracket, and up to a letter.
    let plain = |line: String| {
        let mut out = String::new();
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\u{1b}' if chars.peek() == Some(&'[') => {
                    while chars.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
                }
                c if c.is_control() || c == '\u{fffd}' => out.push(' '),
                c => out.push(c),
            }
        }
        out.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let all: Vec<String> = lines.map(plain).filter(|line| !line.is_empty()).collect();
    let line = all.join("; ");
    let skip = line.chars().count().saturating_sub(TOLD);
    match skip {
        0 => line,
        _ => format!("…{}", line.chars().skip(skip).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| text.to_string()).collect()
    }

    #[test]
    fn words_are_one_clean_line_of_bounded_length() {
        assert_eq!(clean("\x1b[1;31mERROR\x1b[0m: no cameras\tavailable\r\n\n", &[]), "ERROR: no cameras available");
        assert_eq!(clean("first\nsecond \u{7}\n", &[]), "first; second");
        let long = clean(&"é".repeat(5000), &[]);
        assert_eq!(long.chars().count(), TOLD + 1);
        assert!(long.starts_with('…'));
    }

    #[test]
    fn secrets_of_the_arguments_are_not_repeated() {
        let arguments = strings(&[
            "/usr/bin/camera",
            "-i",
            "rtsp://joe:Zmhunter2Q@cam/1",
            "--password",
            "Qhunter3Z",
            "--api-key=Whunter4X",
            "/dev/video7",
            "joe@example.org:Vhunter5",
            "-pUhunter6",
            "Thunter7",
        ]);
        let said = "open rtsp://joe:Zmhunter2Q@cam/1: 401; login joe:Zmhunter2Q with Zmhunter2Q\nQhunter3Z Whunter4X \
                    joe@example.org:Vhunter5: Uhunter6 'Thunter7' http://a/?t=Shunter8 pw=Rhunter9 \
                    cannot open /dev/video7";
        let told = clean(said, &secrets(&arguments));
        assert!(!told.contains("hunter"), "{told}");
        assert!(told.ends_with("cannot open /dev/video7"), "{told}");
    }

    #[test]
    fn parts_of_arguments_and_their_other_forms_are_not_repeated() {
        let arguments = strings(&[
            "sh",
            "-c",
            "fetch 'http://joe:Zmhun%23ter2@cam/live/Qhunter3?user=x&token=Whunter4' --pin Vhunter5 | cat",
        ]);
        let said = "no token Whunter4; Qhunter3: password Zmhun#ter2 or Zmhun%23ter2, pin Vhunter5; \
                    Authorization: Basic am9lOlptaHVuI3RlcjI= failed over http";
        let told = clean(said, &secrets(&arguments));
        assert!(!["hun", "am9l"].iter().any(|part| told.contains(part)), "{told}");
        assert!(told.ends_with("failed over http"), "{told}");
    }

    #[test]
    fn only_the_end_of_much_is_kept() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 3000 ]; do echo line $i >&2; i=$((i+1)); done; echo no cameras >&2"])
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let words = LastWords::listen(child.stderr.take(), &[]).unwrap();
        child.wait().unwrap();
        // The thread ends with the program's output, however slow the machine is.
        let until = Instant::now() + Duration::from_secs(30);
        while !words.thread.as_ref().unwrap().is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(words.told().unwrap().ends_with("line 2998; line 2999; no cameras"), "{:?}", words.told());
        assert!(words.kept.lock().unwrap().len() <= KEPT);
    }
}

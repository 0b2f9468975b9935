//! A clip through the real program.

use std::fmt::Write;
use std::process::Command;

use super::truth::Clip;
use tawny::event::{Body, Event, Phase};

/// Which point of the box has to pass; each line is watched with both.
pub const ANCHORS: [&str; 2] = ["center", "bottom"];

/// One reported crossing.
#[derive(Debug, Clone, PartialEq)]
pub struct Crossing {
    pub group: String,
    pub direction: String,
    pub at_s: f64,
}

/// What the program reported of one clip.
#[derive(Debug)]
pub struct Played {
    /// (tripwire, crossing), in order of time.
    pub crossings: Vec<(String, Crossing)>,
    /// Group and time of each sighting.
    pub sightings: Vec<(String, f64)>,
    /// Events about persons and vehicles, whatever their kind.
    pub person_or_vehicle_events: usize,
    /// The line about the effort.
    pub summary: String,
}

/// The default configuration with the clip's lines.
fn configuration(clip: &Clip) -> String {
    let mut text = "[[camera]]\nname = \"camera\"\n".to_owned();
    for line in &clip.lines {
        for anchor in ANCHORS {
            writeln!(
                text,
                "[[camera.tripwire]]\nname = \"{}-{anchor}\"\nfrom = {:?}\nto = {:?}\nforward = \"{}\"\nbackward = \"{}\"\nanchor = \"{anchor}\"",
                line.name, line.from, line.to, line.forward, line.backward
            )
            .unwrap();
        }
    }
    text
}

pub fn play(clip: &Clip) -> Played {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tawny.toml");
    std::fs::write(&config, configuration(clip)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tawny"))
        .args(["replay", "--config"])
        .args([&config, &clip.path])
        .output()
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", clip.path.display());
    let text = String::from_utf8(output.stdout).expect("results are text");
    let events: Vec<Event> = text.lines().map(|line| Event::from_json(line).expect(line)).collect();
    let mut played = Played {
        crossings: Vec::new(),
        sightings: Vec::new(),
        person_or_vehicle_events: 0,
        summary: errors.lines().last().unwrap_or_default().to_owned(),
    };
    for event in events {
        let at_s = event.stamp.mono_ms as f64 / 1e3;
        let group = match event.body {
            Body::Crossing { grp, dir, wire, .. } => {
                let crossing = Crossing { group: grp.to_string(), direction: dir, at_s };
                played.crossings.push((wire, crossing));
                grp
            }
            Body::Sighting { grp, phase, .. } => {
                if phase == Phase::Start {
                    played.sightings.push((grp.to_string(), at_s));
                }
                grp
            }
            Body::Group { grp, .. } => grp,
            other => panic!("a replay reports no {}", other.kind()),
        };
        played.person_or_vehicle_events += usize::from(super::truth::GROUPS.contains(&group.to_string().as_str()));
    }
    played.crossings.sort_by(|a, b| a.1.at_s.total_cmp(&b.1.at_s));
    played
}

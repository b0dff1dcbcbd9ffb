//! Random specs of schedules: when they fire, and which are refused, by robfig/cron and by ours.

use std::time::SystemTime;

use asynq_core::{Clock as _, SystemClock, Timestamp};
use asynq_scheduler::{Spec, Zone};
use fastrand::Rng;
use serde_json::{Value, json};

use crate::go::{Go, GoProgram, Request};

/// How many times are compared of each spec.
const TIMES: usize = 6;
/// How many differences are told.
const TOLD: usize = 10;
const DAY: i64 = 86_400;

/// Zones, and moments at which their clocks change: at two, at midnight, by half an hour, with the date.
const CHANGES: [(&str, i64); 16] = [
    ("UTC", 1_704_067_200),
    ("America/New_York", 1_710_054_000),
    ("America/New_York", 1_730_613_600),
    ("Europe/Paris", 1_711_846_800),
    ("Europe/London", 1_698_541_200),
    ("Asia/Beirut", 1_711_836_000),
    ("Asia/Tokyo", 1_704_067_200),
    ("Asia/Kolkata", 1_704_067_200),
    ("America/Sao_Paulo", 1_508_036_400),
    ("America/Sao_Paulo", 1_518_919_200),
    ("Africa/Cairo", 1_682_632_800),
    ("Australia/Lord_Howe", 1_696_087_800),
    ("America/St_Johns", 1_289_097_060),
    ("America/Havana", 1_647_147_600),
    ("Pacific/Apia", 1_325_239_200),
    ("Antarctica/Troll", 1_648_342_800),
];

/// What was compared.
#[derive(Debug, Default)]
pub(crate) struct Specs {
    pub(crate) firing: usize,
    pub(crate) refused: usize,
    /// Go searches for ever, panics, or gives a time that has passed.
    pub(crate) unanswered: usize,
}

/// Compares so many specs.
pub(crate) fn check(program: &GoProgram, count: usize, seed: u64) -> Result<Specs, String> {
    let mut rng = Rng::with_seed(seed);
    let mut go = Go::start(program)?;
    let (mut specs, mut differences) = (Specs::default(), Vec::new());
    for _ in 0..count {
        let (zone, change) = CHANGES[rng.usize(0..CHANGES.len())];
        let start = change - rng.i64(0..4 * DAY);
        let spec = random_spec(&mut rng);
        let request = Request::new("next_times", 0, SystemClock.now())
            .with("text", spec.as_str())
            .with("zone", zone)
            .with("at", start * 1_000_000)
            .with("size", TIMES);
        let expected = go.must(request)?;
        let found = ours(&spec, zone, start)?;
        match expected["answer"].as_str() {
            Some("none") => {
                specs.unanswered += 1;
                // A search that does not end would go on.
                go = Go::start(program)?;
                continue;
            }
            Some("error") => specs.refused += 1,
            _ => specs.firing += 1,
        }
        if found != expected {
            differences.push(format!(
                "{spec:?} in {zone} after {start}: Go {expected}, ours {found}"
            ));
        }
    }
    if differences.is_empty() {
        return Ok(specs);
    }
    let count = differences.len();
    differences.truncate(TOLD);
    Err(format!(
        "{count} specs differ with seed {seed}:\n  {}",
        differences.join("\n  ")
    ))
}

/// As the Go program answers.
fn ours(spec: &str, zone: &str, start: i64) -> Result<Value, String> {
    let zone: Zone = zone.parse().map_err(|error| format!("{error}"))?;
    let Ok(spec) = spec.parse::<Spec>() else {
        return Ok(json!({"answer": "error", "times": null}));
    };
    let mut times = Vec::new();
    let mut at = SystemTime::from(Timestamp::from_unix_seconds(start));
    while times.len() < TIMES
        && let Some(next) = spec.next_after(at, &zone)
    {
        if next <= at {
            return Err(format!(
                "{spec} in {zone} does not fire after {at:?} but at {next:?}"
            ));
        }
        times.push(Timestamp::from(next).unix_seconds());
        at = next;
    }
    Ok(json!({"answer": "times", "times": times}))
}

/// Without the names of zones that Go finds only because they are paths to it.
fn random_spec(rng: &mut Rng) -> String {
    loop {
        let spec = any_spec(rng);
        if !spec.contains("//") {
            return spec;
        }
    }
}

fn any_spec(rng: &mut Rng) -> String {
    match rng.u8(0..20) {
        0..=9 => fields(rng),
        10..=11 => format!("{}{}", zone_prefix(rng), fields(rng)),
        12 => descriptor(rng),
        13..=16 => {
            let spec = if rng.bool() { fields(rng) } else { descriptor(rng) };
            let spec = format!("{}{spec}", zone_prefix(rng));
            damaged(rng, &spec)
        }
        17..=18 => {
            let spec = fields(rng);
            damaged(rng, &spec)
        }
        _ => (0..rng.usize(0..12)).map(|_| piece(rng)).collect(),
    }
}

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(0..from.len())]
}

/// Five fields that make sense.
fn fields(rng: &mut Rng) -> String {
    let bounds = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
    bounds.map(|(least, most)| field(rng, least, most)).join(" ")
}

fn field(rng: &mut Rng, least: u32, most: u32) -> String {
    let one = rng.u32(least..=most);
    let other = rng.u32(least..=most);
    match rng.u8(0..11) {
        0 => one.to_string(),
        1 => format!("{one},{other}"),
        2 => format!("{}-{}", one.min(other), one.max(other)),
        3 => format!("*/{}", rng.u32(1..=most)),
        4 => format!("{one}/{}", rng.u32(1..10)),
        5 => format!("{}-{}/{}", one.min(other), one.max(other), rng.u32(1..5)),
        6 => "?".to_owned(),
        7 if most == 12 => pick(rng, &["jan", "FEB", "Mar-oct", "may,nov", "dec"]).to_owned(),
        7 if most == 6 => pick(rng, &["sun", "MON-fri", "Tue", "wed,sat", "thu/2"]).to_owned(),
        _ => "*".to_owned(),
    }
}

fn zone_prefix(rng: &mut Rng) -> String {
    let name = pick(rng, &["TZ=", "CRON_TZ="]);
    format!(
        "{name}{} ",
        pick(
            rng,
            &["UTC", "Asia/Tokyo", "Europe/Paris", "Local", "Asia/Kathmandu"]
        )
    )
}

fn descriptor(rng: &mut Rng) -> String {
    match rng.u8(0..3) {
        0 => pick(
            rng,
            &[
                "@yearly",
                "@annually",
                "@monthly",
                "@weekly",
                "@daily",
                "@midnight",
                "@hourly",
            ],
        )
        .to_owned(),
        1 => format!(
            "@every {}{}",
            rng.u32(0..100),
            pick(rng, &["s", "m", "h", "ms", "us", "ns"])
        ),
        _ => format!(
            "@every {}{}{}.{}{}",
            pick(rng, &["", "", "-", "+"]),
            pick(rng, &["", "1h", "2m", "36h"]),
            rng.u32(0..100),
            rng.u32(0..1000),
            pick(rng, &["s", "m", "h", "ms"])
        ),
    }
}

/// With a character more, less or changed, which often makes no sense.
fn damaged(rng: &mut Rng, spec: &str) -> String {
    let mut characters: Vec<char> = spec.chars().collect();
    let at = rng.usize(0..=characters.len());
    let new = pick(
        rng,
        &[
            "*", "-", "/", ",", "?", " ", "0", "7", "60", "x", "@", "=", "\t", "ä", "-1",
        ],
    );
    match rng.u8(0..3) {
        0 if at < characters.len() => {
            characters.remove(at);
        }
        1 if at < characters.len() => {
            characters.splice(at..=at, new.chars());
        }
        _ => {
            characters.splice(at..at, new.chars());
        }
    }
    characters.into_iter().collect()
}

/// Of a text that has next to nothing of a spec.
fn piece(rng: &mut Rng) -> &'static str {
    pick(
        rng,
        &[
            "*",
            " ",
            "1",
            "59",
            "-",
            "/",
            ",",
            "?",
            "TZ=",
            "CRON_TZ=",
            "UTC ",
            "@",
            "every ",
            "daily",
            "1h",
            "sun",
            "JAN",
            "\t",
            "\u{3000}",
            "9999999999999999999",
            "0x1",
            "+5",
            "\u{0}",
            "@every ",
            "1.5s",
        ],
    )
}

//! Checks the texts that say when the clock enqueues a task. Plain functions without tokens.

/// A cron spec that fires now and then.
#[cfg(feature = "cron")]
pub(crate) fn cron(text: &str) -> Result<(), String> {
    const FOUR_YEARS: i64 = 126_230_400;
    let spec: asynq_cron::Spec = text
        .parse()
        .map_err(|error: asynq_cron::SpecError| error.to_string())?;
    // Five years each from 2000 on, so that leap days are among them on all days of the week.
    let fires = (0..10).any(|n| {
        spec.next_after_unix(946_684_800 + n * FOUR_YEARS, &asynq_cron::Zone::UTC)
            .is_some()
    });
    if fires {
        Ok(())
    } else {
        Err(format!("{text:?} never fires: there is no such day or time"))
    }
}

/// The name of a time zone.
#[cfg(feature = "cron")]
pub(crate) fn zone(name: &str) -> Result<(), String> {
    match name.parse::<asynq_cron::Zone>() {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether a zone makes sense beside a spec that is right.
#[cfg(feature = "cron")]
pub(crate) fn zone_beside(spec: &str) -> Result<(), &'static str> {
    let period = spec
        .parse::<asynq_cron::Spec>()
        .ok()
        .and_then(|spec| spec.period());
    if spec.starts_with("TZ=") || spec.starts_with("CRON_TZ=") {
        Err("the time zone is given twice, here and in `cron`: leave one of the two out")
    } else if period.is_some() {
        Err("`tz` does nothing here: `@every` is the same in all time zones")
    } else {
        Ok(())
    }
}

#[cfg(not(feature = "cron"))]
const NO_CRON: &str = "`cron` needs the feature `scheduler` of `asynq-server`; in a program that depends on `asynq-core` alone its feature `cron`";

#[cfg(not(feature = "cron"))]
pub(crate) fn cron(_: &str) -> Result<(), String> {
    Err(NO_CRON.to_owned())
}

#[cfg(not(feature = "cron"))]
pub(crate) fn zone(_: &str) -> Result<(), String> {
    Ok(())
}

#[cfg(not(feature = "cron"))]
pub(crate) fn zone_beside(_: &str) -> Result<(), &'static str> {
    Ok(())
}

/// What becomes of ticks at which no scheduler ran.
#[derive(Debug, PartialEq)]
pub(crate) enum Missed {
    Skip,
    RunOnce,
    RunAll(usize),
}

/// Parses `"skip"`, `"run_once"` and `"run_all(10)"`.
pub(crate) fn missed(text: &str) -> Result<Missed, String> {
    let limit = || {
        text.strip_prefix("run_all(")?
            .strip_suffix(')')?
            .trim()
            .parse()
            .ok()
    };
    match text {
        "skip" => Ok(Missed::Skip),
        "run_once" => Ok(Missed::RunOnce),
        _ => match limit() {
            Some(0) => Err("of none that were missed none is run: write \"skip\"".to_owned()),
            Some(limit) => Ok(Missed::RunAll(limit)),
            None => Err(
                "expected \"skip\", \"run_once\", \"run_all(10)\" with the most that are run, or a `Missed`"
                    .to_owned(),
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "cron")]
    #[test]
    fn specs_are_those_of_schedulers_and_fire_now_and_then() {
        for good in [
            "0 3 * * *",
            "@daily",
            "@every 90s",
            "TZ=Asia/Tokyo @weekly",
            "0 0 29 2 *",
            "0 0 29 2 ?",
            "0 0 31 12 mon",
        ] {
            assert_eq!(cron(good), Ok(()), "{good}");
        }
        for (bad, problem) in [
            ("0 25 * * *", "hour \"25\": 25 is above 23; allowed is 0-23"),
            (
                "0 0 30 2 *",
                "\"0 0 30 2 *\" never fires: there is no such day or time",
            ),
            (
                "0 0 , * *",
                "\"0 0 , * *\" never fires: there is no such day or time",
            ),
        ] {
            assert_eq!(cron(bad), Err(problem.to_owned()));
        }
    }

    #[cfg(feature = "cron")]
    #[test]
    fn a_zone_is_known_and_given_once() {
        assert_eq!(zone("Europe/Paris"), Ok(()));
        assert!(zone("Europe/Pariss").is_err());
        assert!(zone("").is_err());
        assert!(zone("Local").is_err());
        assert!(zone_beside("0 3 * * *").is_ok());
        assert!(zone_beside("TZ=UTC 0 3 * * *").is_err());
        assert!(zone_beside("CRON_TZ=UTC 0 3 * * *").is_err());
        assert!(zone_beside("@every 1h").is_err());
    }

    #[test]
    fn what_is_missed_is_left_out_or_run() {
        assert_eq!(missed("skip"), Ok(Missed::Skip));
        assert_eq!(missed("run_once"), Ok(Missed::RunOnce));
        assert_eq!(missed("run_all(10)"), Ok(Missed::RunAll(10)));
        for bad in [
            "",
            "once",
            "run_all",
            "run_all()",
            "run_all(0)",
            "run_all(-1)",
            "run_all(1))",
        ] {
            assert!(missed(bad).is_err(), "{bad}");
        }
    }
}

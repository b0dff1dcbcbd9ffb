//! Values in records.

use asynq_core::Timestamp;

/// The first second of the year 1: what Go writes for what never was or will be.
const GO_ZERO_SECONDS: i64 = -62_135_596_800;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WireTimestamp {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

pub(super) fn to_wire_time(time: Timestamp) -> WireTimestamp {
    WireTimestamp {
        seconds: time.unix_seconds(),
        // Less than a second in nanoseconds fits.
        nanos: (time.unix_micros().rem_euclid(1_000_000) * 1_000) as i32,
    }
}

pub(super) fn from_wire_time(time: Option<WireTimestamp>) -> Timestamp {
    let time = time.unwrap_or_default();
    Timestamp::from_unix_micros(
        time.seconds
            .saturating_mul(1_000_000)
            .saturating_add(i64::from(time.nanos) / 1_000),
    )
}

/// No time if it is what Go writes for none.
pub(super) fn not_zero_time(time: Option<WireTimestamp>) -> Option<Timestamp> {
    time.filter(|time| time.seconds != GO_ZERO_SECONDS)
        .map(|time| from_wire_time(Some(time)))
}

/// What Go writes for none if there is no time.
pub(super) fn or_zero_time(time: Option<Timestamp>) -> WireTimestamp {
    to_wire_time(time.unwrap_or(Timestamp::from_unix_seconds(GO_ZERO_SECONDS)))
}

pub(super) fn not_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

pub(super) fn to_i32(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(super) fn to_u32(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zero_time_of_go_is_read() {
        let zero = from_wire_time(Some(WireTimestamp {
            seconds: GO_ZERO_SECONDS,
            nanos: 0,
        }));

        assert_eq!(zero.unix_seconds(), -62_135_596_800);
    }
}

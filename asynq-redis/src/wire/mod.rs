//! The stored form of tasks, servers, workers and schedules: the protobuf records of Go asynq's `asynq.proto`.

mod presence;
mod schedule;
mod task;
mod value;

pub(crate) use presence::{decode_server, decode_worker, encode_server, encode_worker};
pub(crate) use schedule::{
    decode_schedule_entry, decode_schedule_event, encode_schedule_entry, encode_schedule_event,
};
pub(crate) use task::{decode_task, encode_task};

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    pub(super) fn hex(text: &str) -> Bytes {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }
}

#[derive(Task)]
#[task(name = NAME, timeout = TIMEOUT, deadline = "2030-01-31T12:00:00Z", codec = Proto, crate = my::queue)]
enum Shape {
    Circle,
}

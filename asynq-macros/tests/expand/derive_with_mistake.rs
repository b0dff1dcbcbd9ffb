#[derive(Task)]
#[task(name = "x", que = "low")]
struct Broken;

#[task(blocking)]
fn render(page: Page, cx: Context) {
    page.render(|| cx.is_cancelled());
}

#[task]
async fn send(email: Email, db: Db) {
    db.send(email).await;
}

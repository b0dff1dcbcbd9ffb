//! A proxy in front of Redis that loses answers.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Passes everything on, until it is told to lose an answer.
pub struct Proxy {
    pub port: u16,
    lose_answer_to: Arc<Mutex<Option<String>>>,
}

impl Proxy {
    /// In front of the server at this port.
    pub async fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let lose_answer_to = Arc::new(Mutex::new(None));
        let told = lose_answer_to.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server_port)).await.unwrap();
                tokio::spawn(pass(client, server, told.clone()));
            }
        });
        Proxy { port, lose_answer_to }
    }

    /// The next request that contains this text is carried out, but its answer never comes: the connection breaks.
    pub fn lose_answer_to(&self, text: &str) {
        *self.lose_answer_to.lock().unwrap() = Some(text.to_owned());
    }

    /// Whether that has happened.
    pub fn has_lost(&self) -> bool {
        self.lose_answer_to.lock().unwrap().is_none()
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream, told: Arc<Mutex<Option<String>>>) {
    let (mut request, mut answer) = (vec![0; 65536], vec![0; 65536]);
    let mut is_losing = false;
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(length @ 1..) = read else { return };
                let mut told = told.lock().unwrap().take_if(|text| contains(&request[..length], text));
                is_losing |= told.take().is_some();
                if server.write_all(&request[..length]).await.is_err() {
                    return;
                }
            },
            read = server.read(&mut answer) => {
                let Ok(length @ 1..) = read else { return };
                // The server does not know the script: nothing was carried out, so that is no answer to lose.
                let is_refusal = answer.starts_with(b"-NOSCRIPT");
                if is_losing && !is_refusal {
                    return;
                }
                if client.write_all(&answer[..length]).await.is_err() {
                    return;
                }
            },
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

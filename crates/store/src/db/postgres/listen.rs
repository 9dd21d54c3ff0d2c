//! The connection that hears what other processes announce.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Config, Socket};

/// The channel on which all processes of a deployment announce what they wrote.
pub(super) const CHANNEL: &str = "ingram";

/// Listens for announcements for as long as the process lives, and connects again when the connection is lost.
pub(super) async fn listen<T>(config: Config, tls: T, announcements: broadcast::Sender<String>)
where
    T: MakeTlsConnect<Socket> + Clone,
{
    const FIRST_PAUSE: Duration = Duration::from_millis(100);
    const LONGEST_PAUSE: Duration = Duration::from_secs(5);
    let mut pause = FIRST_PAUSE;
    loop {
        if let Ok((client, mut connection)) = config.connect(tls.clone()).await {
            let listening = async {
                let listen = format!("listen {CHANNEL}");
                let mut listen = std::pin::pin!(client.batch_execute(&listen));
                let mut listens = false;
                poll_fn(|context| {
                    if !listens && let Poll::Ready(done) = listen.as_mut().poll(context) {
                        if done.is_err() {
                            return Poll::Ready(());
                        }
                        listens = true;
                        // Whatever was announced while nobody listened was missed.
                        let _ = announcements.send(String::new());
                    }
                    loop {
                        match connection.poll_message(context) {
                            Poll::Ready(Some(Ok(AsyncMessage::Notification(notification)))) => {
                                let _ = announcements.send(notification.payload().to_owned());
                            }
                            Poll::Ready(Some(Ok(_))) => {}
                            Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                            Poll::Pending => break,
                        }
                    }
                    if !listens && let Poll::Ready(done) = listen.as_mut().poll(context) {
                        if done.is_err() {
                            return Poll::Ready(());
                        }
                        listens = true;
                        let _ = announcements.send(String::new());
                    }
                    Poll::Pending
                })
                .await;
            };
            listening.await;
            pause = FIRST_PAUSE;
            tracing::warn!(
                "The database connection that listens for other replicas was lost; it is opened again."
            );
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

use exuvia_notify::Handler;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), exuvia_aws::function::Error> {
    let handler = Handler::new(&exuvia_aws::config().await)?;
    exuvia_aws::function::serve(|input| handler.handle(input)).await
}

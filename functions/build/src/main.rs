use exuvia_build::Handler;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), exuvia_aws::function::Error> {
    let settings = exuvia_aws::Settings::of_this_process();
    let handler = Handler::new(&exuvia_aws::config(), &settings)?;
    exuvia_aws::function::serve(|input| handler.handle(input)).await
}

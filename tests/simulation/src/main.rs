fn main() -> anyhow::Result<()> {
    exuvia_simulation::main()
}

from bench.mock_engine.server import main

main()

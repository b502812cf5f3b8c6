from bench.load.generator import main

main()

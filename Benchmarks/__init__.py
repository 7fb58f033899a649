"""What `make bench` measures, and how its page is made; `scripts/bench` starts it."""

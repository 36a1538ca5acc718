"""Fine-tune: make an imitation, watch it learn, put it into Compare."""

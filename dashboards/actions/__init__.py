"""Page handlers without Gradio."""

"""What pages share: context, theme, components, the job panel, the figure toolkit."""

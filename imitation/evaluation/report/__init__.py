"""The report of a run: from result files to intervals, gaps and exports."""

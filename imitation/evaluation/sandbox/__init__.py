"""Running code that models wrote, behind walls."""

"""Files of models and of fits under way, which open without running anything in them."""

"""What the product says about itself to its operators."""

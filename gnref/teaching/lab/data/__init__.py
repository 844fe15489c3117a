"""What the networks learn: photographs, cut into images, mosaics and clips; and handwritten digits."""

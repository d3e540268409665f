"""Constants of the heads and their losses."""

# Rate before the last layer: that of EfficientNet-B0 (Tan & Le, ICML 2019).
DROPOUT = 0.2
# Focal loss: the value that works best in Lin et al. 2017, section 3.2.
FOCAL_GAMMA = 2.0
# Momentum of batch normalisation. With Keras's default of 0.99, the initial statistics linger for hundreds of steps;
# training on a small data set has fewer. Chosen by hand; not measured.
BATCH_NORM_MOMENTUM = 0.9

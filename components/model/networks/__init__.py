"""The network: any backbone, the feature maps inside it, and the augmentation of images and masks."""

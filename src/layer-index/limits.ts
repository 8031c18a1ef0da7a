/** What an index may be, whoever made it. */

/** Of the unpacked layer: layers of images are three powers of ten smaller. */
export const mostLayerBytes = 2 ** 40
/** Names of a million files and all that is known of them. */
export const mostMetadataBytes = 512 * 2 ** 20
/** A window that cannot be packed, and what zstd writes around it. */
export const mostPackedWindowBytes = 33 * 1024
/** The whole index as it travels. */
export const mostIndexBytes = 2 ** 30
/** Facts and table of the sections. */
export const mostHeadBytes = 4096

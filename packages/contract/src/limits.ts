/** The numbers of the contract; sizes in bytes, times in seconds. */

const MiB = 1024 * 1024

export const limits = {
  /** One file: 512 MB, read as 2^20 so that nothing the vendor takes is refused (contract §1.2). */
  fileBytes: 512 * MiB,
  /** All files of one organization: the seed's 100 GB. */
  organizationBytes: 100_000_000_000,
  /** The text of one file for assistants, in tokens of o200k_base: the seed's 2 million. */
  fileTokens: 2_000_000,
  /** One file for a batch: 200 MB, as in the vendor's error text (contract §2.3). */
  batchBytes: 200 * MiB,
  /** Requests in one file for a batch (contract §6.2). */
  batchLines: 50_000,
  /** `expires_after.seconds`: from one hour to thirty days. */
  expiresAfterSeconds: { least: 3_600, most: 2_592_000 },
  /** Files of a batch go after thirty days unless told otherwise. */
  batchSeconds: 2_592_000,
  /** One Upload: 8 GB, read as 2^33 as in the vendor's error text (contract §2.7). */
  uploadBytes: 8 * 1024 * MiB,
  /** One part of an Upload. */
  partBytes: 64 * MiB,
  /** Of one Upload; the vendor documents no limit, and its largest needs 128. */
  uploadParts: 32_768,
  /** From the creation of an Upload until it expires. */
  uploadSeconds: 3_600,
  /** What a client says that the content of an Upload is, in UTF-16 code units. */
  mimeTypeLength: 255,
  /** The header Upload-Metadata of a tus client, in characters. */
  tusMetadataLength: 4_096,
  /** Parts on one page of a list. */
  pageParts: { least: 1, most: 10_000, default: 10_000 },
  /** Files on one page of a list. */
  pageFiles: { least: 1, most: 10_000, default: 10_000 },
  /** A file's name, in UTF-8. */
  filenameBytes: 1_024,
} as const

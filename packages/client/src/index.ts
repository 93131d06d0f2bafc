export { ApiClient, type RequestOptions } from './api-client.ts'
export {
  ApiException,
  BadRequestException,
  ConflictException,
  ConnectionException,
  ContentTooLargeException,
  ForbiddenException,
  NotFoundException,
  RateLimitException,
  ServiceException,
  TimeoutException,
  UnauthorizedException,
  UnexpectedAnswerException,
  UnprocessableEntityException,
} from './api-exception.ts'
export { Configuration, type ConfigurationOptions } from './configuration.ts'
export type { ContentFault } from './content-fault.ts'
export { FileContent } from './file-content.ts'
export {
  type CreateFileOptions,
  FilesApi,
  type ListFilesOptions,
  type OpenFileOptions,
} from './files-api.ts'
export type {
  DeleteFileResponse,
  FileCheck,
  ListFilesResponse,
  ListUploadPartsResponse,
  Open,
  OpenAIFile,
  Upload,
  UploadPart,
} from './models.ts'
export {
  type ArrivedPart,
  type LargeUploadOptions,
  type LargeUploadState,
  uploadLargeFile,
} from './upload-large-file.ts'
export type { Uploadable, UploadSource } from './upload-source.ts'
export {
  type AddUploadPartOptions,
  type CompleteUploadOptions,
  type ListUploadPartsOptions,
  type NewUpload,
  UploadsApi,
} from './uploads-api.ts'
